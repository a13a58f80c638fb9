use super::*;

const V1: &str = "25 24 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
28 25 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

#[test]
fn the_processors_controller_is_found_in_either_version() {
    let v1 = Some(Hierarchy::V1("/sys/fs/cgroup/cpu".into()));
    assert_eq!(found(V1, |_| false), v1);
    let v2 = Some(Hierarchy::V2("/sys/fs/cgroup/unified".into()));
    assert_eq!(found(V1, |_| true), v2);
    assert_eq!(
        found("22 1 254:0 / / rw - ext4 /dev/vda rw\n", |_| true),
        None
    );
}
