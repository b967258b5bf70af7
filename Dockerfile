# The image of mxgate: two static programs, their other names and what they read, on Alpine or on nothing at all.
#
#   docker build -t mxgate .                            for this machine
#   docker build --platform linux/arm64 -t mxgate .     for the other one: cross-compiled, nothing is emulated
#   docker build --target scratch -t mxgate:scratch .   without a shell (and so without init scripts)
#
# Needs BuildKit (the default since Docker 23; DOCKER_BUILDKIT=1 before). No stage but `build` runs a command, so an
# image for another machine needs no emulator, and nothing in the final layers depends on the machine it was made on.
#
# What goes in: tools/build-static.sh and the pins of tools/sources.sha256 (musl and the libraries, by checksum), as in
# `make static`. Both base images are arguments, to be pinned by digest:
#   --build-arg DEBIAN=debian:trixie-slim@sha256:... --build-arg ALPINE=alpine:3.22@sha256:...
ARG DEBIAN=debian:trixie-slim
ARG ALPINE=alpine:3.22

# ---- the builder: always the machine that builds ------------------------------------------------------------------
FROM --platform=$BUILDPLATFORM ${DEBIAN} AS build
# Given by BuildKit. A default here would win over it, and put one machine's programs into the other's image.
ARG TARGETARCH
WORKDIR /build
COPY tools/setup.sh tools/
RUN TARGET=$TARGETARCH tools/setup.sh static image && rm -rf /var/lib/apt/lists/*
# musl and the libraries are a layer of their own: a change of ours does not build them again.
COPY tools/build-static.sh tools/sources.sha256 tools/
RUN TARGET=$TARGETARCH tools/build-static.sh deps

COPY Makefile ./
COPY src src
COPY healthcheck healthcheck
RUN TARGET=$TARGETARCH tools/build-static.sh

# ---- the file tree that both images get ---------------------------------------------------------------------------
FROM ${ALPINE} AS base

FROM build AS tree
COPY --from=base /etc/passwd /etc/group /base/
COPY tools/image-tree.sh tools/
COPY entrypoint entrypoint
# The time that every file of ours in the image has: of the release, so that the same input is the same layer.
ARG SOURCE_DATE_EPOCH=0
RUN TARGET=$TARGETARCH tools/image-tree.sh /base /tree

# ---- without a shell ----------------------------------------------------------------------------------------------
FROM scratch AS scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mxgate" \
      org.opencontainers.image.description="Mail exchanger in front of a Dovecot: SMTP in, LMTP out, nothing lost" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="scratch"
COPY --from=tree /tree/scratch/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin RUN_AS_USER=10025:10025
EXPOSE 25
VOLUME /var/spool/mxgate
HEALTHCHECK --interval=3s --timeout=4s --start-period=10s --retries=3 CMD ["/usr/local/bin/healthcheck", "-t", "3"]
ENTRYPOINT ["/usr/local/bin/mxgate", "serve"]

# ---- the image: Alpine, for its shell -----------------------------------------------------------------------------
FROM base AS runtime
ARG ALPINE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mxgate" \
      org.opencontainers.image.description="Mail exchanger in front of a Dovecot: SMTP in, LMTP out, nothing lost" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="$ALPINE"
COPY --from=tree /tree/runtime/ /
# It starts as root for port 25 on the host's network and for the owner of a new volume, and is this user from then on.
ENV RUN_AS_USER=10025:10025
EXPOSE 25
VOLUME /var/spool/mxgate
HEALTHCHECK --interval=3s --timeout=4s --start-period=10s --retries=3 CMD ["/usr/local/bin/healthcheck", "-t", "3"]
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
