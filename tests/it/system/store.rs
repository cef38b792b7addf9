//! The data root as a whole.

use std::fs;

use crate::support::each_mode;

each_mode! {
    fn a_store_of_another_version_is_refused_by_name(dhow) {
        dhow.with_busybox();
        fs::write(dhow.root().join("version"), "999\n").unwrap();
        dhow.cmd("images").fails(1, &["999"]);
    }
}
