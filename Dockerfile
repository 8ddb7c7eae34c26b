# The product's images. Their last stages take prebuilt static binaries, so that
# an image holds nothing but what it runs and the certificates it trusts:
#
#   docker build --target binaries --output dist .        # from source, or by cargo:
#   docker build --target operator --tag operator dist --file Dockerfile
#   docker build --target worker   --tag worker   dist --file Dockerfile
#   docker build --target webhook  --tag webhook  dist --file Dockerfile
#   docker build --target buildkit --tag buildkit dist --file Dockerfile
#
# `make images` builds the binaries with this machine's own cargo and uses the last
# stages alone.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG GO_IMAGE=docker.io/library/golang:1.26-bookworm

FROM ${RUST_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends cmake
WORKDIR /source
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
RUN target="$(rustc --version --verbose | sed -n 's/^host: //p')" \
    && cargo build --locked --profile image --target "$target" \
        --package imagefactory-operator --bin operator --package imagefactory-worker --bin worker \
        --package imagefactory-webhook --bin webhook --package imagefactory-buildkit --bin imagefactory-buildkit \
    && mkdir /dist \
    && cp "target/$target/image/operator" "target/$target/image/worker" "target/$target/image/webhook" \
        /etc/ssl/certs/ca-certificates.crt /dist/ \
    && cp "target/$target/image/imagefactory-buildkit" /dist/buildkit

# What the image of BuildKit runs beside our launcher, from the pinned Go modules.
FROM ${GO_IMAGE} AS tools
WORKDIR /source
COPY hack hack
RUN hack/tools/build.sh runc buildkit && mkdir /dist && cp --dereference .cluster/bin/* /dist/

FROM scratch AS binaries
COPY --from=build /dist/ /
COPY --from=tools /dist/ /

FROM scratch AS operator
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY operator /operator
USER 65532:65532
ENTRYPOINT ["/operator"]

FROM scratch AS worker
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY worker /worker
USER 65532:65532
ENTRYPOINT ["/worker"]

FROM scratch AS webhook
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY webhook /webhook
USER 65532:65532
ENTRYPOINT ["/webhook"]

# Root of the pod's user namespace: it maps the ids of the namespace that BuildKit runs in (docs/decisions/0011).
FROM scratch AS buildkit
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY buildkitd buildctl runc /usr/bin/
COPY buildkit /usr/bin/imagefactory-buildkit
ENV PATH=/usr/bin
USER 0:0
ENTRYPOINT ["/usr/bin/imagefactory-buildkit"]
