//! Container and volume names: validation, and generated names made of two nautical words.

use dhow_error::{Failure, invalid};

/// Validates a container name; a leading slash is dropped.
pub fn check(text: &str) -> Result<String, Failure> {
    let name = text.strip_prefix('/').unwrap_or(text);
    if is_object_name(name) {
        return Ok(name.to_owned());
    }
    Err(invalid(format!(
        "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, at least two of them",
        text.escape_debug()
    )))
}

/// docker's pattern for names of containers and volumes: a letter or digit, then at least one of letters,
/// digits, `_`, `.`, `-`; short enough for a file name.
pub(crate) fn is_object_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    first && (2..=255).contains(&name.len()) && name.bytes().all(rest)
}

/// A name such as `leeward_sextant`, determined by `random`.
pub fn generate(random: u64) -> String {
    // The two halves choose independently.
    let (first, second) = (random as usize, (random >> 32) as usize);
    format!("{}_{}", ADJECTIVES[first % ADJECTIVES.len()], NOUNS[second % NOUNS.len()])
}

const ADJECTIVES: [&str; 64] = [
    "abeam",
    "adrift",
    "afloat",
    "amber",
    "anchored",
    "azure",
    "becalmed",
    "billowing",
    "blustery",
    "boundless",
    "brackish",
    "bracing",
    "breezy",
    "briny",
    "buoyant",
    "calm",
    "coastal",
    "coral",
    "crested",
    "deep",
    "distant",
    "drifting",
    "ebbing",
    "fair",
    "faraway",
    "flowing",
    "foaming",
    "free",
    "gleaming",
    "gliding",
    "graceful",
    "gusty",
    "hardy",
    "homeward",
    "lateen",
    "leeward",
    "lively",
    "lunar",
    "misty",
    "moonlit",
    "moored",
    "nimble",
    "open",
    "outbound",
    "patient",
    "pearly",
    "quiet",
    "rolling",
    "salty",
    "seaworthy",
    "shallow",
    "sheltered",
    "silver",
    "southern",
    "spry",
    "starlit",
    "steady",
    "swift",
    "tidal",
    "trim",
    "wandering",
    "weathered",
    "windward",
    "yare",
];

const NOUNS: [&str; 96] = [
    "albatross",
    "anchor",
    "archipelago",
    "astrolabe",
    "atoll",
    "ballast",
    "barnacle",
    "barque",
    "bay",
    "beacon",
    "binnacle",
    "boatswain",
    "bollard",
    "bosun",
    "bowsprit",
    "breaker",
    "breeze",
    "bulwark",
    "buoy",
    "capstan",
    "cargo",
    "channel",
    "chart",
    "cleat",
    "clipper",
    "compass",
    "cormorant",
    "corvette",
    "cove",
    "current",
    "cutter",
    "dhow",
    "dinghy",
    "dock",
    "dolphin",
    "estuary",
    "fathom",
    "felucca",
    "fjord",
    "frigate",
    "galleon",
    "gannet",
    "gull",
    "gunwale",
    "halyard",
    "harbour",
    "haven",
    "headland",
    "helm",
    "horizon",
    "hull",
    "inlet",
    "isle",
    "jetty",
    "jib",
    "keel",
    "ketch",
    "lagoon",
    "lantern",
    "lighthouse",
    "lugger",
    "mariner",
    "mast",
    "monsoon",
    "mooring",
    "navigator",
    "oar",
    "osprey",
    "outrigger",
    "petrel",
    "pilot",
    "porpoise",
    "quay",
    "reef",
    "rigging",
    "rudder",
    "sail",
    "schooner",
    "sextant",
    "shoal",
    "skiff",
    "sloop",
    "spar",
    "spinnaker",
    "squall",
    "starboard",
    "strait",
    "swell",
    "tern",
    "tide",
    "tiller",
    "topsail",
    "trawler",
    "voyage",
    "wharf",
    "yawl",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_names_only() {
        for good in ["ab", "a.b", "A-1_2", "0x"] {
            assert_eq!(check(good).unwrap(), good);
        }
        assert_eq!(check("/web").unwrap(), "web");
        for bad in ["", "a", "-a", ".a", "a/b", "a b", "ä1", "..", &"a".repeat(256)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn made_up_names_are_names() {
        for seed in 0..2000u64 {
            let name = generate(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert_eq!(check(&name).unwrap(), name);
        }
        assert_ne!(generate(1), generate(1 << 32 | 2));
    }
}
