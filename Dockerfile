# syntax=docker/dockerfile:1
# The four programs and nothing else: no shell, no package manager, not root.
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t eaft:0.1.0 .
#   docker run --rm --read-only --tmpfs /tmp -v "$PWD:/data" --user "$(id -u):$(id -g)" eaft:0.1.0 pipeline run run.yaml
# Mirrors of the two images may be named.
ARG BUILDER=golang:1.26
ARG BASE=gcr.io/distroless/static-debian12:nonroot

FROM ${BUILDER} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build make build

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="eaft" \
      org.opencontainers.image.description="Entropy-adaptive fine-tuning: tokenize, scorer, train and pipeline" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /src/bin/ /usr/local/bin/
ENV PATH=/usr/local/bin
USER nonroot
WORKDIR /data
CMD ["pipeline", "--help"]
