//! `history`.

use super::image_with;
use crate::support::each_mode;

each_mode! {
    fn history_lists_the_steps(dhow) {
        dhow.load(&image_with("history"), "history:1");
        let steps = dhow.cmd("history --format {{.CreatedBy}} history:1").ok().lines();
        assert_eq!(steps, ["step 1", "step 0"]);
        let rows = dhow.cmd("history history:1").ok().lines();
        assert_eq!(rows[0].split_whitespace().next(), Some("IMAGE"));
        assert_eq!(rows.len(), 3);
        assert!(rows[2].contains("<missing>"), "{rows:?}");
        assert_eq!(dhow.cmd("history -q --no-trunc history:1").ok().lines()[0], image_with("history").id());
    }

    fn history_can_be_exact(dhow) {
        dhow.load(&image_with("history"), "history:1");
        let exact = dhow.cmd("history --human=false --format").arg("{{.CreatedAt}} {{.CreatedSince}} {{.Size}}").arg("history:1").env("TZ", "UTC").ok().lines();
        assert_eq!(exact[0], "2024-01-02T03:04:05Z 2024-01-02T03:04:05Z 7");
        let human = dhow.cmd("history --format {{.Size}} history:1").ok().lines();
        assert_eq!(human[0], "7B");
        dhow.cmd("history absent").fails(1, &["No such image: absent:latest"]);
        dhow.cmd("history --platform linux/s390x history:1").fails(1, &["history:1"]);
    }
}
