#!/bin/bash
# Builds kube-apiserver and kube-controller-manager from the distribution's source
# package, for the tests that want the real ones:
#
#   tests/kube/build.sh FOLDER   the programs land in FOLDER/bin
#
# It ends with 77 and a sentence where that cannot be done here.  Nothing outside FOLDER
# changes: apt gets lists and sources of its own, Go its caches.
set -u

cannot() {
	printf 'check-kube: %s\n' "$*" | tee why >&2
	exit 77
}

[ $# = 1 ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1" && cd "$1" || exit 1
top=$PWD
tree=$top/go/src/k8s.io/kubernetes
[ -x bin/kube-apiserver ] && [ -x bin/kube-controller-manager ] && exit 0

for tool in apt-get dpkg-source go; do
	command -v $tool >/dev/null || cannot "$tool is missing: ./quickstart install kube"
done

# The source package lies where the binary ones do.
apt() {
	apt-get -q -o Dir::Etc::SourceList="$top/apt/sources.list" -o Dir::Etc::SourceParts=- \
		-o Dir::State::Lists="$top/apt/lists" -o Dir::Cache="$top/apt/cache" \
		-o APT::Sandbox::User=root "$@"
}

fetch() {
	mkdir -p apt/lists/partial apt/cache/archives/partial source
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' | sort -u | sed 's/^/deb-src /' >apt/sources.list
	apt update >apt/log 2>&1 || cannot "apt cannot fetch lists of sources ($top/apt/log)"
	(cd source && apt --download-only source kubernetes) >>apt/log 2>&1 ||
		cannot "there is no source package kubernetes ($top/apt/log)"
	rm -rf "$tree" && mkdir -p "${tree%/*}"
	dpkg-source --no-check --no-copy -x source/kubernetes_*.dsc "$tree" >>apt/log 2>&1 ||
		cannot "the source package does not unpack ($top/apt/log)"
}

# The package brings all its dependencies in vendor/; nothing else is downloaded.  Its
# go.mod is of an age that a Go of this one wants to mend, hence a GOPATH.
build() { # build OUTPUT PACKAGE...
	(cd "$tree" && GO111MODULE=off GOFLAGS='' GOPATH=$top/go GOCACHE=$top/cache \
		CGO_ENABLED=0 nice go build -p 2 -trimpath -o "$top/$1" "${@:2}") \
		>build.log 2>&1 || cannot "it does not build with $(go env GOVERSION) \
($top/build.log): $(grep -m1 -E '^[^#]' build.log)"
}

# The one generated file that the package does not bring: the API's description.
generate() {
	local types
	types=$(cd "$tree" && grep -rl --include='*.go' '^// +k8s:openapi-gen=true' \
		pkg/apis staging/src | grep -v -e _test.go -e code-generator -e sample-apiserver |
		xargs -n1 dirname | sort -u |
		sed -e 's|^staging/src/|vendor/|' -e 's|^|k8s.io/kubernetes/|' | paste -sd,)
	build bin/openapi-gen ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
	(cd "$tree" && GO111MODULE=off GOPATH=$top/go GODEBUG=gotypesalias=0 \
		"$top/bin/openapi-gen" --logtostderr -i "$types" --output-base "$top/go/src" \
		-p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
		-h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$top/violations") \
		>generate.log 2>&1 || cannot "the API's description cannot be generated \
($top/generate.log): $(tail -1 generate.log)"
}

[ -d "$tree/cmd" ] || fetch
mkdir -p bin
[ -e "$tree/pkg/generated/openapi/zz_generated.openapi.go" ] || generate
build bin/ ./cmd/kube-controller-manager ./cmd/kube-apiserver
