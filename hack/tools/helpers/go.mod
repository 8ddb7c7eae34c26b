// Small programs of the local cluster that need nothing but Go's own library.
module imagefactory.dev/hack/tools/helpers

go 1.25
