#!/usr/bin/env bash
# A real Kubernetes on this machine, for tests: control plane and one node, from Debian's source package, without an image registry.
#
#   deploy/test-cluster.sh [build|up|down|status]      default: build up
#
#   build   the binaries of Kubernetes 1.20 in .cache/kubernetes/bin: 35 MB of source and 95 MB of Go and etcd from Debian's mirrors,
#           then seven minutes of processor time: twenty minutes on two busy processors. Needs 4 GB meanwhile. Does nothing if they are there.
#   up      etcd, kube-apiserver, kube-controller-manager, kube-scheduler, a Docker engine and a kubelet (a minute, most of it for
#           copying the runner image). All of it runs in a network namespace of its own, freshet-kube; the engine of this machine is only asked for the runner image.
#           Writes .cache/kubernetes/admin.kubeconfig, and freshet.kubeconfig with the rights of deploy/kubernetes-runner.yaml alone.
#   down    ends all of that, and deletes its containers and data; the binaries stay
#   status  says what runs
#
# Needs root, Debian 12 or something that has its packages in apt, a Docker engine, ip, openssl and gcc. CPUS: how many processors compile.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p .cache/kubernetes
home=$(cd .cache/kubernetes && pwd -P)  # /proc/mounts knows no links
readonly home netns=freshet-kube address=10.199.199.2 gateway=10.199.199.1 namespace=freshet-runner
readonly version=1.20.2 binaries=(kube-apiserver kube-controller-manager kube-scheduler kubelet)
readonly run=$home/run logs=$home/logs engine=unix://$home/run/docker.sock pause=freshet-pause:1
readonly start_timeout_s=120
PATH=$home/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s\n' "test-cluster: $*"; }
die() { printf '%s\n' "test-cluster: $*" >&2; exit 1; }

# --- build ----------------------------------------------------------------------------------------

# Debian's source packages, with lists of their own: those of this machine stay as they are.
apt_sources() {
  local state=$home/build/apt
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  printf '%s\n' 'Types: deb deb-src' "URIs: ${DEBIAN_MIRROR:-http://deb.debian.org/debian}" 'Suites: bookworm' 'Components: main' \
    'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' >"$state/debian.sources"
  options=(-qq -o "Dir::Etc::sourcelist=$state/debian.sources" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$state/lists"
    -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
}

fetch() {
  local options
  [ ! -f "$home/build/fetched" ] || return 0
  say "fetching the source of Kubernetes, Go and etcd from Debian (130 MB)"
  apt_sources
  (
    cd "$home/build"
    apt-get "${options[@]}" source --download-only kubernetes
    apt-get "${options[@]}" download golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev etcd-server
    dpkg-source --no-check -x kubernetes_*.dsc kubernetes
    local deb
    for deb in golang-*.deb etcd-*.deb; do dpkg-deb -x "$deb" root; done
    # The vendored reflect2 1.0.1 crashes with Go 1.18 and later; this is 1.0.2.
    rm kubernetes/vendor/github.com/modern-go/reflect2/*.{go,s}
    cp root/usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} kubernetes/vendor/github.com/modern-go/reflect2/
    touch fetched
  ) >"$home/build/fetch.log" 2>&1 || die "Debian's packages could not be fetched: see $home/build/fetch.log"
}

# The API server's description of its types, which Debian's build generates too. Prints nothing if all is well.
generate() {
  local source=$GOPATH/src/k8s.io/kubernetes target=pkg/generated/openapi
  [ ! -f "$source/$target/zz_generated.openapi.go" ] || return 0
  say "generating the API server's description of its types"
  (
    cd "$source"
    nice -n 19 go build -p "${CPUS:-2}" -o "$home/build/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    inputs=$(find -L pkg cmd plugin vendor/k8s.io -name '*.go' ! -name '*_test.go' ! -path '*/testdata/*' -print0 |
      xargs -0 grep -l '+k8s:openapi-gen=' | xargs -n1 dirname | grep -Ev 'code-generator|sample-apiserver|kube-openapi|gengo' |
      LC_ALL=C sort -u | sed 's#^#k8s.io/kubernetes/#' | paste -sd,)
    nice -n 19 "$home/build/openapi-gen" --logtostderr -i "$inputs" -p "k8s.io/kubernetes/$target" -O zz_generated.openapi \
      -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$home/build/violations"
  ) >"$home/build/generate.log" 2>&1 || die "the description could not be generated: see $home/build/generate.log"
}

compile() {
  export GOROOT=$home/build/root/usr/lib/go-1.19 GOPATH=$home/build/gopath GOCACHE=$home/build/gocache GOTMPDIR=$home/build
  # Modules would have to be updated from the network. Without them, the vendored packages are used as they are; providerless leaves out
  # the clouds' own.
  export GO111MODULE=off GOPROXY=off CGO_ENABLED=0
  local name flags="-s -w" package
  for package in component-base/version client-go/pkg/version; do flags+=" -X k8s.io/kubernetes/vendor/k8s.io/$package.gitVersion=v$version"; done
  flags+=" -X k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitMajor=1 -X k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitMinor=20"
  mkdir -p "$GOPATH/src/k8s.io"
  ln -sfn "$home/build/kubernetes" "$GOPATH/src/k8s.io/kubernetes"
  PATH=$GOROOT/bin:$PATH
  generate
  for name in "${binaries[@]}"; do
    [ ! -x "$home/bin/$name" ] || continue
    say "compiling $name (the first one takes longest)"
    (cd "$GOPATH/src/k8s.io/kubernetes" && nice -n 19 go build -p "${CPUS:-2}" -tags providerless -ldflags "$flags" -o "$home/build/$name" "./cmd/$name") \
      >"$home/build/$name.log" 2>&1 || die "$name could not be compiled: see $home/build/$name.log"
    mv "$home/build/$name" "$home/bin/$name"
  done
}

build_step() {
  local name all=yes
  for name in "${binaries[@]}" etcd; do [ -x "$home/bin/$name" ] || all=no; done
  [ $all = no ] || return 0
  command -v apt-get >/dev/null || die "apt-get is missing: the source comes from Debian."
  mkdir -p "$home/bin" "$home/build"
  fetch
  cp "$home/build/root/usr/bin/etcd" "$home/bin/etcd"
  cp "$home/build/kubernetes/build/pause/linux/pause.c" "$home/bin/pause.c"
  compile
  # 2 GB that are not needed any more.
  rm -rf "$home/build"
}

# --- up -------------------------------------------------------------------------------------------

# A number in a file may belong to another process by now.
is_up() { [ -f "$run/$1.pid" ] && grep -aqs -- "$1" "/proc/$(cat "$run/$1.pid")/cmdline"; }

# Starts a program in the namespace, in the background. `ip netns exec` would hide the control groups behind a new /sys.
start() {  # name, command...
  local name=$1
  shift
  is_up "$name" && return 0
  setsid nohup nsenter --net="/run/netns/$netns" "$@" >"$logs/$name.log" 2>&1 </dev/null &
  echo $! >"$run/$name.pid"
}

wait_until() {  # what is waited for, command...
  local what=$1 second
  shift
  for ((second = 0; second < start_timeout_s; second++)); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 1
  done
  die "$what did not start within $start_timeout_s seconds: see $logs"
}

need_network() {
  if ! ip netns list | grep -q "^$netns\b"; then
    ip netns add "$netns"
    ip link add fkube0 type veth peer name fkube1 netns "$netns"
    ip addr add "$gateway/30" dev fkube0
    ip link set fkube0 up
    ip -n "$netns" addr add "$address/30" dev fkube1
    ip -n "$netns" link set fkube1 up
    ip -n "$netns" link set lo up
    # The API server wants to know the address that others use.
    ip -n "$netns" route add default via "$gateway"
  fi
}

need_keys() {
  local pki=$home/pki
  [ ! -f "$pki/done" ] || return 0
  mkdir -p "$pki"
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=freshet-test-ca -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,keyCertSign -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -subj /CN=kube-apiserver -keyout "$pki/server.key" -out "$pki/server.csr" 2>/dev/null
  printf '%s\n' "subjectAltName=IP:$address,IP:127.0.0.1,IP:10.96.0.1,DNS:kubernetes" 'authorityKeyIdentifier=keyid' >"$pki/extensions"
  openssl x509 -req -in "$pki/server.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 3650 -extfile "$pki/extensions" \
    -out "$pki/server.crt" 2>/dev/null
  openssl genrsa -out "$pki/accounts.key" 2048 2>/dev/null
  printf '%s,admin,1,system:masters\n' "$(openssl rand -hex 16)" >"$pki/tokens.csv"
  printf '%s,freshet,2\n' "$(openssl rand -hex 16)" >>"$pki/tokens.csv"
  touch "$pki/done"
}

kubeconfig() {  # user
  local token
  token=$(grep ",$1," "$home/pki/tokens.csv" | cut -d, -f1)
  cat >"$home/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: $1}}]
clusters: [{name: test, cluster: {server: "https://$address:6443", certificate-authority: $home/pki/ca.crt}}]
users: [{name: $1, user: {token: $token}}]
YAML
  chmod 600 "$home/$1.kubeconfig"
}

# A request to the API server as the administrator; with a third argument, the body is standard input.
api() {  # method, path
  curl -sS --fail-with-body -X "$1" --cacert "$home/pki/ca.crt" -H "Authorization: Bearer $(head -n 1 "$home/pki/tokens.csv" | cut -d, -f1)" \
    ${3:+-H 'Content-Type: application/yaml' --data-binary @-} "https://$address:6443$2"
}

need_control_plane() {
  local pki=$home/pki
  start etcd etcd --data-dir "$home/etcd" --log-outputs stderr --listen-peer-urls http://127.0.0.1:0
  start kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --bind-address 0.0.0.0 --advertise-address "$address" \
    --secure-port 6443 --tls-cert-file "$pki/server.crt" --tls-private-key-file "$pki/server.key" --cert-dir "$run" \
    --token-auth-file "$pki/tokens.csv" --authorization-mode RBAC --service-cluster-ip-range 10.96.0.0/24 \
    --service-account-issuer https://kubernetes.default.svc --service-account-signing-key-file "$pki/accounts.key" \
    --service-account-key-file "$pki/accounts.key" --kubelet-preferred-address-types InternalIP --allow-privileged=false
  wait_until "the API server" api GET /readyz
  start kube-controller-manager kube-controller-manager --kubeconfig "$home/admin.kubeconfig" --leader-elect=false \
    --service-account-private-key-file "$pki/accounts.key" --root-ca-file "$pki/ca.crt" --use-service-account-credentials=false \
    --controllers '*,-nodeipam,-service,-route,-csrsigning' --cert-dir "$run"
  start kube-scheduler kube-scheduler --kubeconfig "$home/admin.kubeconfig" --leader-elect=false --cert-dir "$run"
}

second_engine() { docker -H "$engine" "$@"; }

# There is no bridge, so that it does not replace that of the engine of this machine, which is not touched: pods of the kubelet, and
# what it collects as garbage, are here.
need_engine() {
  # The kubelet protects a pod's sandbox from the kernel's OOM killer. Where root may not do that (no CAP_SYS_RESOURCE), it is left out.
  printf '%s\n' '#!/bin/sh' 'bundle=' 'take=' 'for word; do [ -z "$take" ] || bundle=$word; take=; [ "$word" != --bundle ] || take=yes; done' \
    '[ -z "$bundle" ] || sed -i "s/\"oomScoreAdj\":-[0-9]*/\"oomScoreAdj\":0/" "$bundle/config.json"' \
    "exec $(command -v runc) \"\$@\"" >"$run/runtime"
  chmod +x "$run/runtime"
  start dockerd dockerd -H "$engine" --data-root "$home/docker" --exec-root "$run/docker" --pidfile "$run/dockerd.own-pid" \
    --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --config-file "$home/daemon.json" \
    --add-runtime "test=$run/runtime" --default-runtime test
  wait_until "the second Docker engine" second_engine version
  local image
  for image in ${IMAGES:-dbt-runner:latest}; do need_image "$image"; done
  if ! second_engine image inspect "$pause" >/dev/null 2>&1; then
    gcc -Os -Wall -static -DVERSION="$version" -o "$run/pause" "$home/bin/pause.c"
    printf 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n' >"$run/pause.dockerfile"
    tar -C "$run" -c pause pause.dockerfile | second_engine build -q -f pause.dockerfile -t "$pause" - >/dev/null
  fi
}

# Copies an image of this machine's engine, unless the same one is there.
need_image() {
  local id
  id=$(docker image inspect --format '{{.Id}}' "$1") || die "There is no image $1 here: run 'make image' first."
  [ "$(second_engine image inspect --format '{{.Id}}' "$1" 2>/dev/null)" != "$id" ] || return 0
  say "copying the image $1"
  docker save "$1" | second_engine load -q >/dev/null
}

# A network plugin that gives a pod an address, which the kubelet insists on, and no way out: the strictest NetworkPolicy.
# https://github.com/containernetworking/cni/blob/main/SPEC.md
need_plugin() {
  mkdir -p "$run/cni"
  echo '{"cniVersion": "0.2.0", "name": "nowhere", "type": "nowhere"}' >"$run/cni/nowhere.conf"
  cat >"$run/cni/nowhere" <<'PLUGIN'
#!/bin/sh
PATH=$PATH:/usr/sbin:/sbin
inside() { nsenter --net="$CNI_NETNS" ip "$@" 2>/dev/null; }
id=${CNI_CONTAINERID:-0000}
ip=10.88.$(printf '%d.%d' "0x$(expr substr "$id" 1 2)" "0x$(expr substr "$id" 3 2)")
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion": "0.2.0", "supportedVersions": ["0.2.0"]}' ;;
  ADD)
    inside link set lo up
    case $0 in *loopback) ip=127.0.0.1 ;; *) inside link add eth0 type veth peer name nowhere && inside addr add "$ip/32" dev eth0 && inside link set eth0 up ;; esac
    echo "{\"cniVersion\": \"0.2.0\", \"ip4\": {\"ip\": \"$ip/32\"}}" ;;
esac
PLUGIN
  chmod +x "$run/cni/nowhere"
  ln -sf nowhere "$run/cni/loopback"
}

need_kubelet() {
  need_plugin
  # Garbage collection and eviction are off: the engine is shared with the tests' images.
  start kubelet kubelet --kubeconfig "$home/admin.kubeconfig" --hostname-override node --node-ip "$address" --address "$address" \
    --root-dir "$home/kubelet" --cert-dir "$run" --docker-endpoint "$engine" --network-plugin cni --cni-conf-dir "$run/cni" --cni-bin-dir "$run/cni" --pod-infra-container-image "$pause" \
    --fail-swap-on=false --cgroup-driver=cgroupfs --cgroup-root=/ --enforce-node-allocatable= --image-gc-high-threshold=100 \
    --eviction-hard= --anonymous-auth=true --authorization-mode=AlwaysAllow --read-only-port=0 --healthz-port=0 --max-pods=50 \
    --feature-gates=SizeMemoryBackedVolumes=true --register-node=true --sync-frequency=10s
  wait_until "the node" node_is_ready
}

node_is_ready() { api GET /api/v1/nodes/node | tr -d ' \n' | grep -q '"reason":"KubeletReady"'; }

# The namespace and Freshet's rights, as an operator creates them.
need_rights() {
  local kind path document
  while IFS= read -r -d $'\x1e' document; do
    kind=$(sed -n 's/^kind: //p' <<<"$document")
    case $kind in
      Namespace) path=/api/v1/namespaces ;;
      Role) path=/apis/rbac.authorization.k8s.io/v1/namespaces/$namespace/roles ;;
      RoleBinding) path=/apis/rbac.authorization.k8s.io/v1/namespaces/$namespace/rolebindings ;;
      *) continue ;;
    esac
    sed 's/kind: ServiceAccount, name: freshet, namespace: freshet/kind: User, name: freshet, apiGroup: rbac.authorization.k8s.io/' \
      <<<"$document" | api POST "$path" body >/dev/null || true
  done < <(sed 's/^---$/\x1e/' deploy/kubernetes-runner.yaml; printf '\x1e')
  wait_until "the namespace" api GET "/api/v1/namespaces/$namespace/serviceaccounts/default"
}

up_step() {
  [ "$(id -u)" = 0 ] || die "This needs root: it starts a kubelet."
  local program
  for program in docker dockerd ip nsenter openssl gcc curl; do
    command -v "$program" >/dev/null || die "$program is missing: install it and run this again."
  done
  mkdir -p "$run" "$logs"
  echo '{}' >"$home/daemon.json"
  need_network
  need_keys
  kubeconfig admin
  kubeconfig freshet
  need_control_plane
  need_engine
  need_kubelet
  need_rights
  say "Kubernetes $version runs: KUBECONFIG=$home/freshet.kubeconfig FRESHET_KUBERNETES_NAMESPACE=$namespace"
}

# --- down, status ---------------------------------------------------------------------------------

readonly programs=(kubelet kube-scheduler kube-controller-manager kube-apiserver etcd dockerd)

down_step() {
  local name second pid
  if is_up kubelet; then kill "$(cat "$run/kubelet.pid")"; sleep 1; fi
  if is_up dockerd; then second_engine ps -aq | xargs -r docker -H "$engine" rm -f >/dev/null 2>&1 || true; fi
  for name in "${programs[@]}"; do
    is_up "$name" || continue
    pid=$(cat "$run/$name.pid")
    kill "$pid"
    for ((second = 0; second < 20; second++)); do kill -0 "$pid" 2>/dev/null || break; sleep 1; done
    kill -9 "$pid" 2>/dev/null || true
  done
  awk -v home="$home/" 'index($2, home) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l 2>/dev/null || true
  ! ip netns list 2>/dev/null | grep -q "^$netns\b" || ip netns delete "$netns"
  # Only below our own directory, and not the binaries.
  rm -rf "$home"/{run,etcd,kubelet,docker,pki} "$home"/*.kubeconfig
}

status_step() {
  local name
  for name in "${programs[@]}"; do if is_up "$name"; then say "$name runs"; else say "$name does not run"; fi; done
}

main() {
  [ $# -gt 0 ] || set -- build up
  local step
  for step in "$@"; do
    case $step in
      build | up | down | status) "${step}_step" ;;
      *) die "usage: deploy/test-cluster.sh [build|up|down|status]..." ;;
    esac
  done
}

main "$@"
