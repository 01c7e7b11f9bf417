# Become a host: own mounts, a control group and a root that is thrown away, then boot systemd.
# Arguments: number, root file system, size of the disk, "" or the two ends of the network cable,
# then the nspawn command. Nothing outlives this process: all mounts are in its namespace.
set -e
exec 3>&1 >&2
number=$1 base=$2 size=$3 host=$4 machine=$5
shift 5
work=/run/pgbackup-hosts/$number/mount

# A view of control groups of our own, whatever the machine has mounted; two hosts in one group
# would take over each other's processes.
for mounted in $(awk '$2 ~ "^/sys/fs/cgroup" {print $2}' /proc/self/mounts | sort -r); do
  umount "$mounted"
done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/pgbackup-host-$number"
echo $$ >"/sys/fs/cgroup/pgbackup-host-$number/cgroup.procs"

mkdir -p "$work"
mount -t tmpfs -o "size=$size,mode=755" disk "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" disk "$work/root"
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=755,size=4m nspawn /run/systemd/nspawn

echo ready >&3
read -r _ || : # until the parent has put eth0 into this namespace
if [ -n "$host" ]; then
  ip link set lo up
  ip address add "$host/30" dev eth0
  ip link set eth0 up
  ip route add default via "$machine"
  set -- "$@" --network-namespace-path=/proc/self/ns/net
fi

child=
trap 'kill -TERM $child' TERM INT
while :; do
  setpriv --pdeathsig KILL "$@" >&2 3>&- &
  child=$!
  code=0
  wait $child || code=$?
  while kill -0 $child 2>/dev/null; do
    code=0
    wait $child || code=$?
  done
  [ $code = 133 ] || exit $code # 133: the host asks for a reboot
done
