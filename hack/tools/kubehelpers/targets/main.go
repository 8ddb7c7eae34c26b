// Command metrics-targets tells Prometheus what to scrape: every running pod, and
// every endpoint of a Service, that carries the annotation prometheus.io/scrape.
// Debian builds Prometheus without its own discovery for Kubernetes.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	annotationScrape = "prometheus.io/scrape"
	annotationPort   = "prometheus.io/port"
	annotationPath   = "prometheus.io/path"
	annotationScheme = "prometheus.io/scheme"
)

// group is one entry of the answer, in the form that Prometheus asks for.
type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

type server struct{ client kubernetes.Interface }

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	listen := flag.String("listen", "", "address to serve on")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	handler := &server{client}
	log.Fatal((&http.Server{Addr: *listen, Handler: handler, ReadHeaderTimeout: 5 * time.Second}).ListenAndServe())
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	groups, err := s.groups(r.Context())
	if err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(groups); err != nil {
		log.Print(err)
	}
}

func (s *server) groups(ctx context.Context) ([]group, error) {
	pods, err := s.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
	if err != nil {
		return nil, err
	}
	services, err := s.client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	slices, err := s.client.DiscoveryV1().EndpointSlices("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return append(podGroups(pods.Items), serviceGroups(services.Items, slices.Items)...), nil
}

func podGroups(pods []v1.Pod) []group {
	groups := []group{}
	for _, pod := range pods {
		if pod.Annotations[annotationScrape] != "true" || pod.Status.PodIP == "" {
			continue
		}
		labels := labelsOf(pod.ObjectMeta)
		labels["job"], labels["pod"] = "pods", pod.Name
		groups = append(groups, group{targets(pod.Status.PodIP, pod.Annotations, containerPorts(pod)), labels})
	}
	return groups
}

func containerPorts(pod v1.Pod) []int32 {
	var ports []int32
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Protocol == v1.ProtocolTCP || port.Protocol == "" {
				ports = append(ports, port.ContainerPort)
			}
		}
	}
	return ports
}

func serviceGroups(services []v1.Service, slices []discovery.EndpointSlice) []group {
	groups := []group{}
	for _, service := range services {
		if service.Annotations[annotationScrape] != "true" {
			continue
		}
		for _, slice := range slices {
			if slice.Namespace == service.Namespace && slice.Labels[discovery.LabelServiceName] == service.Name {
				groups = append(groups, endpointGroups(service, slice)...)
			}
		}
	}
	return groups
}

func endpointGroups(service v1.Service, slice discovery.EndpointSlice) []group {
	var ports []int32
	for _, port := range slice.Ports {
		if port.Port != nil {
			ports = append(ports, *port.Port)
		}
	}
	groups := []group{}
	for _, endpoint := range slice.Endpoints {
		labels := labelsOf(service.ObjectMeta)
		labels["job"], labels["service"] = "services", service.Name
		if endpoint.TargetRef != nil && endpoint.TargetRef.Kind == "Pod" {
			labels["pod"] = endpoint.TargetRef.Name
		}
		for _, address := range endpoint.Addresses {
			groups = append(groups, group{targets(address, service.Annotations, ports), labels})
		}
	}
	return groups
}

// targets names the annotated port, or every port when none is annotated.
func targets(address string, annotations map[string]string, ports []int32) []string {
	if port := annotations[annotationPort]; port != "" {
		return []string{net.JoinHostPort(address, port)}
	}
	found := []string{}
	for _, port := range ports {
		found = append(found, net.JoinHostPort(address, strconv.Itoa(int(port))))
	}
	return found
}

func labelsOf(object metav1.ObjectMeta) map[string]string {
	labels := map[string]string{"namespace": object.Namespace}
	if path := object.Annotations[annotationPath]; path != "" {
		labels["__metrics_path__"] = path
	}
	if scheme := object.Annotations[annotationScheme]; scheme != "" {
		labels["__scheme__"] = scheme
	}
	return labels
}
