//! `image prune`.

use super::image_with;
use super::stored_layers;
use crate::support::each_mode;

each_mode! {
    fn a_name_that_moves_leaves_a_dangling_image(dhow) {
        let (old, new) = (image_with("old"), image_with("new"));
        dhow.load(&old, "moving:1");
        dhow.load(&new, "moving:1");
        let dangling = dhow.cmd("images -q --no-trunc --filter dangling=true").ok().out();
        assert_eq!(dangling, old.id());
        let rows = dhow.cmd("images").ok().out();
        assert!(rows.contains("<none>"), "{rows}");
        let pruned = dhow.cmd("image prune -f").ok().out();
        assert!(pruned.contains(&old.id()) && pruned.contains("Total reclaimed space:"), "{pruned}");
        assert_eq!(dhow.cmd("images -q --no-trunc").ok().out(), new.id());
        assert_eq!(stored_layers(dhow), 2);
    }

    fn prune_all_removes_what_no_container_uses(dhow) {
        dhow.load(&image_with("one"), "one:1");
        dhow.cmd("image prune -f").ok();
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
        let pruned = dhow.cmd("image prune -a -f").ok().out();
        assert!(pruned.contains("untagged: one:1"), "{pruned}");
        assert_eq!(dhow.cmd("images -aq").ok().out(), "");
        assert_eq!(stored_layers(dhow), 0);
        assert_eq!(dhow.cmd("image prune -f").ok().out(), "Total reclaimed space: 0B");
    }

    fn pruning_asks_first(dhow) {
        dhow.load(&image_with("kept"), "kept:1");
        let asked = dhow.cmd("image prune -a").stdin("n\n").ok().out();
        assert!(asked.contains("all images without at least one container") && asked.ends_with("[y/N] "), "{asked}");
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
        dhow.cmd("image prune -a").ok();
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1, "an end of input does not agree");
        dhow.cmd("image prune -a -f --filter label=absent").ok();
        dhow.cmd("image prune -a -f --filter until=2020-01-01").ok();
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
        let agreed = dhow.cmd("image prune -a --filter label!=absent").stdin("y\n").ok().out();
        assert!(agreed.contains("untagged: kept:1") && agreed.contains("Total reclaimed space: "), "{agreed}");
        assert_eq!(dhow.cmd("images -q").ok().out(), "");
        dhow.cmd("image prune -f --filter nonsense=1").fails(1, &["nonsense"]);
    }
}
