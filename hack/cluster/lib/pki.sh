# shellcheck shell=bash
# Certificates of the cluster: one authority each for the cluster, for etcd, for the
# API server's front proxy and for the registries, so that a certificate of one is
# worth nothing to another.

# make_authority NAME SUBJECT
make_authority() {
    local base=$PKI/$1
    [ -s "$base.crt" ] && [ -s "$base.key" ] && return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
        -subj "/CN=$2" -addext 'keyUsage=critical,keyCertSign,cRLSign,digitalSignature' \
        -keyout "$base.key" -out "$base.crt.part" 2>/dev/null
    mv "$base.crt.part" "$base.crt"
}

# make_certificate AUTHORITY NAME SUBJECT [SUBJECT-ALT-NAMES]: for client and server use.
make_certificate() {
    local authority=$PKI/$1 base=$PKI/$2 names=${4:-}
    [ -s "$base.crt" ] && [ -s "$base.key" ] && return 0
    {
        echo 'keyUsage=critical,digitalSignature'
        echo 'extendedKeyUsage=clientAuth,serverAuth'
        [ -z "$names" ] || echo "subjectAltName=$names"
    } >"$base.ext"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 \
        -subj "$3" -keyout "$base.key" -out "$base.csr" 2>/dev/null
    openssl x509 -req -in "$base.csr" -CA "$authority.crt" -CAkey "$authority.key" -CAcreateserial \
        -days 3650 -sha256 -extfile "$base.ext" -out "$base.crt.part" 2>/dev/null
    rm -f "$base.csr" "$base.ext"
    mv "$base.crt.part" "$base.crt"
}

make_service_account_key() {
    [ -s "$PKI/sa.pub" ] && return 0
    openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/sa.key" 2>/dev/null
    openssl ec -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub.part" 2>/dev/null
    mv "$PKI/sa.pub.part" "$PKI/sa.pub"
}

make_all_certificates() {
    local node="IP:$NODE_IP,IP:127.0.0.1,DNS:localhost"
    umask 077
    mkdir -p "$PKI"
    make_authority ca image-factory-cluster
    make_authority etcd-ca image-factory-etcd
    make_authority front-proxy-ca image-factory-front-proxy
    make_authority registry-ca image-factory-registry
    make_certificate etcd-ca etcd /CN=etcd "$node"
    make_certificate etcd-ca etcd-client /CN=kube-apiserver
    make_certificate ca apiserver /CN=kube-apiserver \
        "$node,IP:$KUBERNETES_SERVICE_IP,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.$CLUSTER_DOMAIN"
    make_certificate ca apiserver-kubelet-client /CN=kube-apiserver-kubelet-client
    make_certificate front-proxy-ca front-proxy-client /CN=front-proxy-client
    make_certificate ca kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" "$node,DNS:$NODE_NAME"
    make_certificate ca controller-manager /CN=system:kube-controller-manager "$node"
    make_certificate ca scheduler /CN=system:kube-scheduler "$node"
    make_certificate ca kube-proxy /CN=system:kube-proxy
    make_certificate ca coredns /CN=imagefactory:coredns
    make_certificate ca provisioner /CN=imagefactory:provisioner
    make_certificate ca prometheus /CN=imagefactory:prometheus
    make_certificate ca admin "/O=system:masters/CN=admin"
    make_certificate registry-ca registry /CN=registry "$node,DNS:registry,DNS:mirror,DNS:git"
    make_service_account_key
    umask 022
}

# make_kubeconfig USER FILE: with the certificate in it, so that the file can move.
make_kubeconfig() {
    local user=$1 file=$2
    (
        umask 077
        cat >"$file.part" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: image-factory
  cluster:
    server: https://$NODE_IP:$API_PORT
    certificate-authority-data: $(base64 -w 0 <"$PKI/ca.crt")
users:
- name: $user
  user:
    client-certificate-data: $(base64 -w 0 <"$PKI/$user.crt")
    client-key-data: $(base64 -w 0 <"$PKI/$user.key")
contexts:
- name: image-factory
  context: {cluster: image-factory, user: $user}
current-context: image-factory
EOF
    )
    mv "$file.part" "$file"
}

make_all_kubeconfigs() {
    local user
    mkdir -p "$KUBECONFIGS"
    for user in kubelet controller-manager scheduler kube-proxy coredns provisioner prometheus; do
        make_kubeconfig "$user" "$KUBECONFIGS/$user"
    done
    make_kubeconfig admin "$KUBECONFIG_FILE"
}
