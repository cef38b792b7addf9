//! A reference that is accepted means the same when it is read again, and never names a directory.
#![no_main]

use dhow_model::reference::ImageReference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(reference) = text.parse::<ImageReference>() else { return };
    assert_eq!(reference.to_string().parse::<ImageReference>().unwrap(), reference);
    assert_eq!(reference.familiar().parse::<ImageReference>().unwrap(), reference);
    assert!(!reference.repository().split('/').any(|part| matches!(part, "" | "." | "..")));
});
