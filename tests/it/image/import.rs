//! `import`: an image made from an archive of files.

use super::id_of;
use crate::support::{each_mode, fixtures};

each_mode! {
    fn a_file_system_archive_becomes_an_image(dhow) {
        let layer = fixtures::busybox_layer();
        let file = fixtures::shared_file("rootfs.tar", &layer.0);
        let output = dhow
            .cmd("import --change").arg("CMD [\"echo\", \"imported\"]").args(["--change", "ENV COLOUR=blue", "--change", "USER worker"])
            .args(["-m", "made by import"]).arg(&file).arg("imported:1").ok();
        assert_eq!(output.out(), id_of(dhow, "imported:1"));
        assert_eq!(dhow.run("imported:1").ok().out(), "imported");
        assert_eq!(dhow.run("imported:1").sh("echo $COLOUR $(id -u)").ok().out(), "blue 1000");
        let config = dhow.cmd("inspect imported:1").ok().json();
        assert_eq!(config[0]["RootFS"]["Layers"], serde_json::json!([layer.diff_id()]));
        assert_eq!(config[0]["Comment"], "made by import");
        let piped = dhow.cmd("import - piped").stdin(layer.0).ok();
        assert_eq!(piped.out(), id_of(dhow, "piped:latest"));
        dhow.cmd("import /no/such/file x").fails(1, &["/no/such/file"]);
        dhow.cmd("import --change").arg("RUN something").arg(&file).fails(1, &["RUN"]);
    }
}
