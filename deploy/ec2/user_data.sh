#!/bin/bash
# user_data.sh - makes a fresh Amazon Linux 2023 machine (t4g.nano: ARM64, 0.5 GiB; or x86-64) a mail gateway
#
# As EC2 user data: terraform/ puts the settings below in front of it as `export NAME=...`; by hand, write such lines
# behind the first one and paste the whole file. It can be run again (as root), with the same or with other settings.
# What it does is in /var/log/cloud-init-output.log; it ends with a status other than 0 and a line `user_data: ERROR`
# when something did not work. Nothing in it waits without a limit.
#
#   MXGATE_IMAGE       the image, e.g. registry.example.com/mxgate:0.1.0                                     (needed)
#   MXGATE_ENV         the gateway's settings, NAME=value lines (docs/SETTINGS.md)                           (needed)
#   COMPOSE_VERSION    of Docker's compose plugin, e.g. v2.40.0; v2.30.0 or newer                            (needed)
#   COMPOSE_SHA256     its checksum for this architecture. Empty: the checksum that is published beside it, which finds
#                      a broken download but not one that was tampered with
#   QUEUE_VOLUME_ID    EBS volume for the queue (vol-...): waited for, formatted only if it is blank, mounted.
#                      Empty: the queue is on the root disk
#   LOG_GROUP          CloudWatch log group of the gateway's log. Empty: Docker's own files
#   HEALTH_LOG_GROUP   CloudWatch log group of one line of health per minute. Empty: no CloudWatch agent
#   AWS_REGION         needed with either of them
#   VPN_SETUP          a script that brings up the way to Dovecot (WireGuard, Tailscale, ...): kept as
#                      /opt/mxgate/vpn.sh and run by bash, every time. Empty: there is one already, or none is needed
#   AUTO_UPDATE        weekly: pulls the image and restarts with it, Sundays at night. Anything else: never
#   SWAP_MIB           swap file; dnf alone needs more than 0.5 GiB at times. 0: none
set -euo pipefail

COMPOSE_SHA256=${COMPOSE_SHA256:-}
QUEUE_VOLUME_ID=${QUEUE_VOLUME_ID:-}
LOG_GROUP=${LOG_GROUP:-}
HEALTH_LOG_GROUP=${HEALTH_LOG_GROUP:-}
VPN_SETUP=${VPN_SETUP:-}
AUTO_UPDATE=${AUTO_UPDATE:-weekly}
SWAP_MIB=${SWAP_MIB:-1024}

here=/opt/mxgate
spool=/var/spool/mxgate
plugin=/usr/local/lib/docker/cli-plugins/docker-compose

say() { printf 'user_data: %s\n' "$*"; }
die() {
    printf 'user_data: ERROR: %s\n' "$*" >&2
    exit 1
}
trap 'printf "user_data: ERROR: line %s: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

# retry TIMES COMMAND...: for what the network may break
retry() {
    local left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep "${RETRY_PAUSE:-5}"
    done
}

# put FILE [MODE]: standard input becomes FILE, at once and only when it differs.
put() {
    local new=$1.new
    mkdir -p "$(dirname "$1")"
    cat >"$new"
    chmod "${2:-644}" "$new"
    if cmp -s "$new" "$1"; then rm -f "$new"; else mv "$new" "$1"; fi
}

check_settings() {
    local name
    for name in MXGATE_IMAGE MXGATE_ENV COMPOSE_VERSION; do
        [ -n "${!name:-}" ] || die "$name is not set; the head of this script says what it is"
    done
    if [ -n "$LOG_GROUP$HEALTH_LOG_GROUP" ] && [ -z "${AWS_REGION:-}" ]; then
        die "AWS_REGION is not set: it is needed for LOG_GROUP and HEALTH_LOG_GROUP"
    fi
    arch=$(uname -m)
    case $arch in
    aarch64 | x86_64) ;;
    *) die "no compose plugin is known for the architecture $arch" ;;
    esac
}

# Before anything else: dnf on 0.5 GiB is killed without it.
add_swap() {
    local file=/swapfile
    [ "$SWAP_MIB" -gt 0 ] || return 0
    if [ ! -e $file ]; then
        say "making $SWAP_MIB MiB of swap"
        (umask 077 && dd if=/dev/zero of=$file.new bs=1M count="$SWAP_MIB" status=none)
        mkswap $file.new
        mv $file.new $file
    fi
    grep -q "^$file " /proc/swaps || swapon $file
    grep -q "^$file " /etc/fstab || echo "$file none swap sw 0 0" >>/etc/fstab
}

install_packages() {
    local packages=(docker jq)
    [ -z "$HEALTH_LOG_GROUP" ] || packages+=(amazon-cloudwatch-agent)
    say "installing ${packages[*]}"
    retry 5 dnf install -y "${packages[@]}"
}

# The queue's volume may be attached only after the machine has started. A file system that is on it is never touched:
# there may be mail in it.
mount_queue() {
    local device type=
    mkdir -p $spool
    [ -n "$QUEUE_VOLUME_ID" ] || return 0
    device=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${QUEUE_VOLUME_ID/-/}
    if ! mountpoint -q $spool; then
        say "waiting for $QUEUE_VOLUME_ID"
        retry 60 test -e "$device" || die "the volume $QUEUE_VOLUME_ID was not attached within 5 minutes"
        # 2: nothing is on it. Anything else that is not 0 means that nobody can say.
        type=$(blkid -p -s TYPE -o value "$device") || [ $? -eq 2 ] || die "blkid cannot tell what is on $device"
        case $type in
        '') say "formatting the blank volume $QUEUE_VOLUME_ID" && mkfs.ext4 -q -L mxgate-queue -m 0 "$device" ;;
        ext4 | xfs) say "the volume $QUEUE_VOLUME_ID has a file system ($type), which is kept" ;;
        *) die "the volume $QUEUE_VOLUME_ID holds $type: is it the right one? It is left as it is" ;;
        esac
    fi
    # nofail lets the machine itself start without the volume; Docker (below) does not start without it, so that no mail
    # is put into the folder underneath.
    grep -q " $spool " /etc/fstab ||
        echo "$device $spool auto defaults,noatime,nofail,x-systemd.device-timeout=60s 0 2" >>/etc/fstab
    put /etc/systemd/system/docker.service.d/mxgate.conf <<EOF
[Unit]
RequiresMountsFor=$spool
EOF
    systemctl daemon-reload
    mountpoint -q $spool || mount $spool
}

start_docker() {
    # live-restore: an upgrade of Docker does not stop the gateway.
    put /etc/docker/daemon.json <<<'{"live-restore": true}'
    systemctl enable --now docker
}

install_compose() {
    local base=https://github.com/docker/compose/releases/download/$COMPOSE_VERSION
    local name=docker-compose-linux-$arch want=$COMPOSE_SHA256 new=$plugin.new
    if [ -x $plugin ] && [ "$(docker compose version --short 2>/dev/null)" = "${COMPOSE_VERSION#v}" ]; then
        return 0
    fi
    say "fetching the compose plugin $COMPOSE_VERSION for $arch"
    mkdir -p "$(dirname $plugin)"
    retry 5 curl -fsSL --max-time 300 -o $new "$base/$name" || die "cannot fetch $base/$name"
    if [ -z "$want" ]; then
        say "COMPOSE_SHA256 is not set: using the checksum published beside the plugin"
        want=$(retry 5 curl -fsSL --max-time 60 "$base/$name.sha256") || die "cannot fetch $base/$name.sha256"
        want=${want%% *}
    fi
    if ! echo "$want  $new" | sha256sum --check --status; then
        rm -f $new
        die "the compose plugin does not have the checksum $want: not installed"
    fi
    chmod 755 $new
    mv $new $plugin
}

# JSON takes what a YAML string takes, quoted: a name with a colon or a blank in it stays one.
quoted() { jq -Rn --arg text "$1" '$text'; }

write_compose() {
    local logging
    printf '%s\n' "$MXGATE_ENV" | put $here/mxgate.env 600
    if [ -n "$LOG_GROUP" ]; then
        # non-blocking: else a CloudWatch that does not answer would hold up whoever writes the log.
        logging="
      driver: awslogs
      options:
        awslogs-region: $(quoted "$AWS_REGION")
        awslogs-group: $(quoted "$LOG_GROUP")
        awslogs-stream: $(quoted "$(hostname)")
        mode: non-blocking
        max-buffer-size: 4m"
    else
        logging="
      driver: json-file
      options:
        max-size: 10m
        max-file: \"5\""
    fi
    put $here/compose.yaml <<EOF
# Made by user_data.sh. Settings of the gateway: mxgate.env; after a change: docker compose up -d
services:
  mxgate:
    container_name: mxgate
    image: $(quoted "$MXGATE_IMAGE")
    restart: always
    network_mode: host
    env_file:
      - path: mxgate.env
        format: raw
    environment:
      RUN_AS_USER: "10025:10025"
    stop_grace_period: 15s
    read_only: true
    tmpfs: ["/run:size=1m,mode=755"]
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE, CHOWN, SETUID, SETGID]
    security_opt: ["no-new-privileges:true"]
    mem_limit: 192m
    volumes:
      - type: bind
        source: $spool
        target: $spool
        bind:
          create_host_path: false
    logging:$logging
EOF
}

# One line a minute, for the alarms: also when Docker or the gateway does not answer.
write_health() {
    put /usr/local/sbin/mxgate-health 755 <<'EOF'
#!/bin/bash
# Adds a line about the gateway's health to /var/log/mxgate/health.log (mxgate-health.timer; made by user_data.sh).
set -u
log=${1:-/var/log/mxgate/health.log}
mkdir -p "$(dirname "$log")"
[ "$(stat -c %s "$log" 2>/dev/null || echo 0)" -lt 1000000 ] || mv "$log" "$log.1"
docker=$(timeout 20 docker inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' mxgate 2>/dev/null) || docker=absent
status=$(timeout 20 docker exec mxgate mxgate status --json 2>/dev/null) || status=null
jq -cn --arg docker "$docker" --argjson s "${status:-null}" '{
    time: (now | todate), healthy: (if $docker == "healthy" then 1 else 0 end), docker: $docker, answers: ($s != null),
    queued: ($s.queued // 0), on_hold: ($s.on_hold // 0), corrupt: ($s.corrupt // 0), log_dropped: ($s.log_dropped // 0),
    oldest_seconds: (if ($s.oldest // 0) > 0 then [(now | floor) - $s.oldest, 0] | max else 0 end),
    destinations_down: ([$s.destinations // [] | .[] | select(.known and (.up | not))] | length)}' >>"$log"
EOF
    put /etc/systemd/system/mxgate-health.service <<'EOF'
[Unit]
Description=One line about the mail gateway's health
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/mxgate-health
EOF
    put /etc/systemd/system/mxgate-health.timer <<'EOF'
[Unit]
Description=Every minute
[Timer]
OnCalendar=minutely
AccuracySec=1s
[Install]
WantedBy=timers.target
EOF
}

write_update() {
    put /etc/systemd/system/mxgate-update.service <<EOF
[Unit]
Description=The newest image of the mail gateway
After=docker.service network-online.target
[Service]
Type=oneshot
WorkingDirectory=$here
ExecStart=/usr/bin/docker compose pull --quiet
ExecStart=/usr/bin/docker compose up --detach
ExecStart=/usr/bin/docker image prune --force
EOF
    put /etc/systemd/system/mxgate-update.timer <<'EOF'
[Unit]
Description=Weekly
[Timer]
OnCalendar=Sun 03:30
RandomizedDelaySec=1h
Persistent=true
[Install]
WantedBy=timers.target
EOF
}

start_agent() {
    [ -n "$HEALTH_LOG_GROUP" ] || return 0
    jq -n --arg group "$HEALTH_LOG_GROUP" --arg region "$AWS_REGION" --arg spool "$spool" '{
        agent: {metrics_collection_interval: 60, region: $region},
        logs: {logs_collected: {files: {collect_list: [{
            file_path: "/var/log/mxgate/health.log", log_group_name: $group, log_stream_name: "{instance_id}"}]}}},
        metrics: {namespace: "mxgate", append_dimensions: {InstanceId: "${aws:InstanceId}"}, metrics_collected: {
            disk: {resources: ["/", $spool], measurement: ["used_percent"], drop_device: true},
            mem: {measurement: ["used_percent"]}, swap: {measurement: ["used_percent"]}}}}' |
        put /opt/aws/amazon-cloudwatch-agent/etc/mxgate.json
    /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s \
        -c file:/opt/aws/amazon-cloudwatch-agent/etc/mxgate.json
}

# A tunnel that does not come up is no reason not to take mail: it waits in the queue. It is said at the end.
vpn=ok
start_vpn() {
    [ -n "$VPN_SETUP" ] || return 0
    printf '%s\n' "$VPN_SETUP" | put $here/vpn.sh 700
    say "running $here/vpn.sh"
    timeout 300 bash $here/vpn.sh || vpn="$here/vpn.sh ended with $?"
}

start_gateway() {
    say "starting the gateway"
    retry 5 docker compose --project-directory $here pull --quiet
    docker compose --project-directory $here up --detach --wait --wait-timeout 120 ||
        die "the gateway does not become healthy: docker logs mxgate, docker inspect mxgate"
}

check_settings
add_swap
install_packages
mount_queue
start_docker
install_compose
write_compose
write_health
write_update
systemctl daemon-reload
start_vpn
start_agent
systemctl enable --now mxgate-health.timer
if [ "$AUTO_UPDATE" = weekly ]; then
    systemctl enable --now mxgate-update.timer
else
    systemctl disable --now mxgate-update.timer
fi
start_gateway
[ "$vpn" = ok ] || die "the gateway runs, but the way to Dovecot is not up: $vpn"
say "done"
