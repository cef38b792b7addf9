//! A layer that unpacks stays inside its directory and packs to the same bytes again; one that fails leaves nothing.
#![no_main]

use std::sync::LazyLock;

use dhow_image::fuzz_checks::LayerCheck;
use libfuzzer_sys::fuzz_target;

static CHECK: LazyLock<LayerCheck> = LazyLock::new(LayerCheck::default);

fuzz_target!(|input: &[u8]| CHECK.layer(input));
