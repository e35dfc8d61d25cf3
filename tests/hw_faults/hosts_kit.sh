# Three hosts on this machine, for the tests that source this before kit.sh: namespaces of the network and of names, at a
# bridge. The test itself is started anew on `head` (10.9.0.1, fd09::1); `on NODE COMMAND...` does something on node1
# (10.9.0.11, fd09::11) or node2. Where that cannot be had the test is skipped.
if [ -z "$EEP_TEST_HOSTS" ]; then
    command -v ip >/dev/null && command -v unshare >/dev/null || { echo 'SKIP: no ip or unshare' && exit 77; }
    unshare --net --mount --uts sh -c 'ip link add eep0 type bridge && ip link add eep1 type veth peer name eep2' 2>/dev/null ||
        { echo 'SKIP: no network namespaces, bridges and veth pairs for this user here' && exit 77; }
    EEP_TEST_HOSTS=1 exec unshare --net --mount --uts bash "$0" "$@"
fi

hosts_file=$(mktemp) && {
    echo '127.0.0.1 localhost'
    for i in 1 11 12; do
        case $i in 1) name=head ;; *) name=node$((i - 10)) ;; esac
        printf '10.9.0.%d %s\nfd09::%d %s %s-six\n' $i $name $i $name $name
    done
} >"$hosts_file"
mount --bind "$hosts_file" /etc/hosts
rm "$hosts_file"
mkdir -p /run/netns && mount -t tmpfs none /run/netns
hostname head
ip link set lo up
ip link add eep0 type bridge
ip addr add 10.9.0.1/24 dev eep0
ip addr add fd09::1/64 dev eep0 nodad
ip link set eep0 up
for i in 1 2; do
    ip netns add node$i
    ip link add eep$i type veth peer name eth0 netns node$i
    ip link set eep$i master eep0 up
    ip -n node$i link set lo up
    ip -n node$i addr add 10.9.0.1$i/24 dev eth0
    ip -n node$i addr add fd09::1$i/64 dev eth0 nodad
    ip -n node$i link set eth0 up
done

on() { # on NODE COMMAND...
    ip netns exec "$1" unshare --uts sh -c 'hostname "$1" && shift && exec "$@"' sh "$@"
}
unplug() { ip -n "$1" link set eth0 down; } # the host is up, and nobody hears of it
received() { ip -s link show "eep${1#node}" | awk "/RX:/ { getline; print \$1 }"; } # bytes that came from the node
