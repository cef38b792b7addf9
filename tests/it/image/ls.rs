//! `images`: names, ids, sizes, filters and formats.

use super::image_with;
use crate::support::each_mode;

each_mode! {
    fn an_empty_store_lists_nothing(dhow) {
        let output = dhow.cmd("images").ok().lines();
        assert_eq!(output.len(), 1);
        assert_eq!(output[0].split_whitespace().collect::<Vec<_>>(), ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
        assert_eq!(dhow.cmd("images -q").ok().out(), "");
    }

    fn listings_show_names_ids_and_sizes(dhow) {
        let image = image_with("listed");
        dhow.load(&image, "example.org/fleet/ship:3");
        dhow.load(&image, "plain:latest");
        let rows = dhow.cmd("images").ok().lines();
        assert_eq!(rows.len(), 3, "{rows:?}");
        let row: Vec<&str> = rows.iter().find(|row| row.starts_with("example.org")).unwrap().split_whitespace().collect();
        assert_eq!(row[..3], ["example.org/fleet/ship", "3", &image.short_id()]);
        assert!(row.last().unwrap().ends_with("MB"), "{row:?}");
        assert_eq!(dhow.cmd("images -q").ok().lines(), [image.short_id(), image.short_id()]);
        assert_eq!(dhow.cmd("images -q --no-trunc plain").ok().out(), image.id());
        assert_eq!(dhow.cmd("image ls --format {{.Repository}}:{{.Tag}} plain").ok().out(), "plain:latest");
        let json = dhow.cmd("images --format json plain").ok().json();
        assert_eq!((json["Repository"].as_str(), json["ID"].as_str()), (Some("plain"), Some(&*image.short_id())));
        assert_eq!(dhow.cmd("images nothing-of-this-name -q").ok().out(), "");
    }

    fn filters_narrow_the_listing(dhow) {
        let labelled = image_with("labelled").set("Labels", serde_json::json!({"crew": "small", "rig": "lateen"}));
        dhow.load(&labelled, "labelled:1");
        dhow.load(&image_with("bare"), "bare:2");
        let names = |filter: &str| dhow.cmd("images --format {{.Repository}} --filter").arg(filter).ok().out();
        assert_eq!(names("label=crew"), "labelled");
        assert_eq!(names("label=crew=small"), "labelled");
        assert_eq!(names("label=crew=big"), "");
        assert_eq!(names("reference=b*"), "bare");
        assert_eq!(names("dangling=true"), "");
        dhow.cmd("images --filter nonsense=1").fails(1, &["nonsense"]);
    }

    fn tables_may_be_made_by_templates(dhow) {
        dhow.load(&image_with("table"), "example.org/fleet/ship:3");
        let table = dhow.cmd("images --format").arg("table {{.Repository}}\\t{{.Tag | upper}}\\t{{.ID}}").ok().lines();
        assert_eq!(table[0].split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>(), ["REPOSITORY", "TAG", "IMAGE ID"]);
        assert_eq!(table[1].split_whitespace().collect::<Vec<_>>()[..2], ["example.org/fleet/ship", "3"]);
        assert_eq!(table[0].find("IMAGE ID"), table[1].find(&image_with("table").short_id()));
        let raw = dhow.cmd("images --format raw").ok().out();
        assert!(raw.contains("repository: example.org/fleet/ship\ntag: 3\nimage_id: "), "{raw}");
        let created = dhow.cmd("images --format {{.CreatedAt}}|{{.CreatedSince}}").env("TZ", "UTC").ok().out();
        assert!(created.starts_with("2024-01-02 03:04:05 +0000 UTC|") && created.ends_with(" ago"), "{created}");
    }

    fn a_template_that_cannot_be_is_an_error(dhow) {
        dhow.with_busybox();
        dhow.cmd("images --format {{.Nonsense}}").fails(1, &["template parsing error: template: :1:2: executing \"\" at <.Nonsense>"]);
        dhow.cmd("images --format {{nonsense}}").fails(1, &["template parsing error: template: :1: function \"nonsense\" not defined"]);
        dhow.cmd("inspect -f {{.Config.Nope}} busybox").fails(1, &["<.Config.Nope>"]);
        dhow.cmd("inspect -f {{if}} busybox").fails(64, &["template parsing error: template: :1: missing value for if"]);
    }

    fn digests_and_the_tree(dhow) {
        let image = image_with("tree");
        dhow.load(&image, "tall:1");
        let table = dhow.cmd("images --digests").ok().lines();
        assert_eq!(table[0].split_whitespace().nth(2), Some("DIGEST"));
        assert_eq!(table[1].split_whitespace().nth(2), Some("<none>"));
        let tree = dhow.cmd("images --tree").ok().lines();
        assert!(tree[1].starts_with("tall:1 ") && tree[1].contains(&image.short_id()), "{tree:?}");
        assert!(tree[2].starts_with("└─ linux/"), "{tree:?}");
        dhow.cmd("images --tree -q").fails(125, &["--quiet", "--tree"]);
    }

    fn images_are_chosen_by_time_and_reference(dhow) {
        dhow.load(&image_with("first"), "fleet/one:1");
        dhow.load(&image_with("second"), "fleet/two:1");
        let names = |words: &str| dhow.cmd("images --format {{.Repository}}").args(words.split(' ')).ok().out();
        assert_eq!(names("-f until=2024-01-02T03:04:05Z"), "");
        assert_eq!(names("-f until=2024-01-02T03:04:06Z -f reference=fleet/o*"), "fleet/one");
        assert_eq!(names("fleet/t*"), "fleet/two");
        assert_eq!(names("-f before=fleet/one:1"), "", "both were made at the same time");
        dhow.cmd("images -f since=absent").fails(1, &["No such image: absent:latest"]);
        dhow.cmd("images -f reference=[").fails(1, &["syntax error in pattern"]);
    }
}
