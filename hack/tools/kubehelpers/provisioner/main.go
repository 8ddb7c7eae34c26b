// Command provisioner makes and deletes the volumes of the local cluster's storage
// class: a folder on the one node for each claim, offered as a local volume.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const provisionerName = "imagefactory.dev/local"

type provisioner struct {
	root string
	node string
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	root := flag.String("root", "", "folder of the volumes")
	node := flag.String("node", "", "name of the node")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	p := &provisioner{root: *root, node: *node}
	ctx := context.Background()
	controller.NewProvisionController(ctx, client, provisionerName, p, controller.LeaderElection(false)).Run(ctx)
}

// Provision makes the folder. It is writable for all, since a pod's user is not
// known here and fsGroup is not asked for by every pod.
func (p *provisioner) Provision(_ context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(p.root, o.PVName)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := os.Chmod(path, 0o777); err != nil { //nolint:gosec // see above
		return nil, controller.ProvisioningFinished, err
	}
	return p.volume(o, path), controller.ProvisioningFinished, nil
}

func (p *provisioner) volume(o controller.ProvisionOptions, path string) *v1.PersistentVolume {
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: o.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource:        v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: path}},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
				MatchExpressions: []v1.NodeSelectorRequirement{{
					Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{p.node},
				}},
			}}}},
		},
	}
}

// Delete removes a folder, and only one that this program would have made.
func (p *provisioner) Delete(_ context.Context, volume *v1.PersistentVolume) error {
	path := filepath.Join(p.root, volume.Name)
	if volume.Spec.Local == nil || volume.Spec.Local.Path != path {
		return errors.New("not a volume of this provisioner")
	}
	return os.RemoveAll(path)
}
