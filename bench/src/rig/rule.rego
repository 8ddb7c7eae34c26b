# What the webhook asks about a Build that is created, as far as the Build, its namespace, its tenant and its project tell it.
package buildentitlement

version := "imagefactory.dev/v1alpha1"

build := input.review.object

labels := input.review.namespaceObject.metadata.labels

tenant := data.inventory.cluster[version].Tenant[labels["imagefactory.dev/tenant"]]

project := data.inventory.namespace[input.review.namespace][version].Project[build.spec.projectRef.name]

violation contains {"msg": "the requester is not who asks"} if {
	build.metadata.annotations["imagefactory.dev/requested-by"] != input.review.userInfo.username
}

violation contains {"msg": "templateRef and rerunOf exclude each other"} if {
	build.spec.templateRef
	build.spec.rerunOf
}

violation contains {"msg": "image build is not enabled for this tenant"} if {
	not tenant.spec.capabilities.build
}

violation contains {"msg": "the tenant is suspended"} if {
	tenant.spec.suspended
}

violation contains {"msg": "image build is turned off for this project"} if {
	project.spec.capabilities.build == false
}

violation contains {"msg": "the project is archived"} if {
	project.spec.archived
}
