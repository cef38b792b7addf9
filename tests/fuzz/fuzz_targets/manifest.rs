//! Manifests, indexes and configurations are read or refused.
#![no_main]

use dhow_image::manifest::Manifest;
use dhow_model::image::ImageConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = Manifest::parse(input, "").map_err(|error| error.to_string());
    if let Ok(config) = serde_json::from_slice::<ImageConfig>(input) {
        assert!(config.rootfs.diff_ids.iter().all(|digest| digest.hex().len() >= 64));
    }
});
