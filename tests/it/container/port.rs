//! `port`.

use crate::support::containers::stopped;
use crate::support::each_mode;

each_mode! {
    fn no_port_is_published(dhow) {
        dhow.with_busybox();
        stopped(dhow, "--name box --expose 80 busybox");
        assert_eq!(dhow.cmd("port box").ok().out(), "");
        dhow.cmd("port box 80").fails(1, &["No public port '80/tcp' published for box"]);
        dhow.cmd("port box 53/udp").fails(1, &["No public port '53/udp' published for box"]);
        dhow.cmd("port box http").fails(1, &["`http` is not a port"]);
        dhow.cmd("port nobody").fails(1, &["No such container: nobody"]);
    }
}
