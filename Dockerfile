# The product's two images. Their last stages take prebuilt static binaries, so that
# an image holds nothing but one program and the certificates it trusts:
#
#   docker build --target binaries --output dist .        # from source, or by cargo:
#   docker build --target operator --tag operator dist --file Dockerfile
#   docker build --target worker   --tag worker   dist --file Dockerfile
#
# `make images` builds the binaries with this machine's own cargo and uses the last
# stages alone.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends cmake
WORKDIR /source
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN target="$(rustc --version --verbose | sed -n 's/^host: //p')" \
    && cargo build --locked --profile image --target "$target" \
        --package imagefactory-operator --bin operator --package imagefactory-worker --bin worker \
    && mkdir /dist \
    && cp "target/$target/image/operator" "target/$target/image/worker" /etc/ssl/certs/ca-certificates.crt /dist/

FROM scratch AS binaries
COPY --from=build /dist/ /

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
