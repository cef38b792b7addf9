//! Progress of builds, plain, as JSON and on a terminal; failures, warnings and interruptions.

use super::context;
use crate::support::each_mode;

const STEPS: &str = "FROM busybox\nRUN echo from the step\n";

/// The lines of plain progress without times, which differ, and without waiting steps.
fn plain(text: &str) -> Vec<String> {
    let untimed = |line: &str| match line.rsplit_once(" DONE ") {
        Some((head, _)) => format!("{head} DONE"),
        None => line.to_owned(),
    };
    text.lines().map(untimed).collect()
}

each_mode! {
    fn plain_progress_is_buildkits(dhow) {
        context(dhow, STEPS);
        let output = dhow.cmd("build --network none --progress plain ctx").warns("DONE").ok();
        assert_eq!(output.out(), "");
        let lines = plain(&output.err());
        assert_eq!(lines[0], "#0 building with \"default\" instance using dhow driver");
        assert_eq!(lines[1], "");
        assert_eq!(lines[2], "#1 [internal] load build definition from Dockerfile");
        let at = lines.iter().position(|line| line.ends_with("[2/2] RUN echo from the step")).unwrap();
        let number = lines[at].split(' ').next().unwrap();
        assert!(lines[at + 1].starts_with(&format!("{number} 0.")), "{lines:?}");
        assert!(lines[at + 1].ends_with(" from the step"), "{lines:?}");
        assert_eq!(lines[at + 2..at + 4], [format!("{number} DONE"), String::new()]);
        let again = dhow.cmd("build --network none ctx").env("BUILDKIT_PROGRESS", "plain").warns("CACHED").ok();
        let lines = plain(&again.err());
        let at = lines.iter().position(|line| line.ends_with("[2/2] RUN echo from the step")).unwrap();
        assert!(lines[at + 1].ends_with(" CACHED"), "{lines:?}");
    }

    fn json_progress_is_a_line_an_event(dhow) {
        context(dhow, STEPS);
        let output = dhow.cmd("build --network none --progress rawjson ctx").warns("vertexes").ok();
        let events: Vec<serde_json::Value> =
            output.err().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let of = |kind: &str| -> Vec<serde_json::Value> {
            events.iter().filter_map(|event| event[kind].as_array()).flatten().cloned().collect()
        };
        let run = of("vertexes").into_iter().rfind(|vertex| vertex["name"] == "[2/2] RUN echo from the step").unwrap();
        assert!(run["completed"].is_string() && run["error"].is_null(), "{run}");
        // `from the step` in base64.
        let data: String = of("logs").iter().map(|log| log["data"].as_str().unwrap().to_owned()).collect();
        assert!(data.starts_with("ZnJvbSB0aGUgc3Rlc"), "{data}");
    }

    fn a_failure_shows_output_lines_and_error(dhow) {
        context(dhow, "FROM busybox\nRUN echo before; exit 7\n");
        let output = dhow.cmd("build --network none ctx").fails(1, &[
            "\n------\n > [2/2] RUN echo before; exit 7:\n0.",
            " before\n------\n",
            "Dockerfile:2\n--------------------\n   1 |     FROM busybox\n   2 | >>> RUN echo before; exit 7\n",
            "\nERROR: failed to build: failed to solve: process \"/bin/sh -c echo before; exit 7\" did not complete \
             successfully: exit code: 7",
            "--resume",
        ]);
        assert_eq!(output.out(), "");
        let quiet = dhow.cmd("build --network none -q ctx").fails(1, &["Dockerfile:2\n", "exit code: 7"]);
        assert!(!quiet.err().contains("#1"), "{}", quiet.err());
        dhow.write("home/ctx/Dockerfile", "FROM busybox\nRUM x\n");
        dhow.cmd("build ctx").fails(1, &["Dockerfile:2\n", ">>> RUM x", "unknown instruction: RUM", "did you mean RUN?"]);
    }

    fn warnings_are_listed_and_explained_on_demand(dhow) {
        context(dhow, "FROM busybox AS Base\nENV a b\n");
        dhow.cmd("build ctx")
            .warns("\n 2 warnings found (use dhow --debug to expand):\n - ")
            .warns(" - LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 2)")
            .ok();
        dhow.cmd("--debug build ctx").warns("\n 2 warnings found:\n").warns("More info: https://").ok();
        let check = dhow.cmd("build --check ctx").warns("#1").exits(1);
        assert!(check.out().starts_with("Check complete, 2 warnings have been found!"), "{}", check.out());
        let json = dhow.cmd("build -q --call check,format=json ctx").exits(1).json();
        assert_eq!(json["warnings"].as_array().unwrap().len(), 2, "{json}");
        dhow.cmd("build -q --call check,ignorestatus=true ctx").ok();
        dhow.write("home/ctx/Dockerfile", "FROM busybox\n");
        assert_eq!(dhow.cmd("build -q --check ctx").ok().out(), "Check complete, no warnings found.");
        let targets = dhow.cmd("build -q --call targets,format=json ctx").ok().json();
        assert_eq!(targets["targets"].as_array().unwrap().len(), 1, "{targets}");
    }

    fn the_live_view_is_drawn_and_leaves_the_terminal_as_it_was(dhow) {
        context(dhow, "FROM busybox\nRUN echo line one; echo line two; sleep 1; echo done\n");
        let mut terminal = dhow.cmd("build --network none -t seen ctx").pty(80, 24);
        terminal.expect("[+] Building ");
        terminal.expect(" => => # line one");
        terminal.expect(" => => # line two");
        terminal.resize(40, 24);
        let last = terminal.expect(" FINISHED");
        assert!(last.contains("\x1b[?25l") && last.contains("\x1b[?25h"), "{last:?}");
        assert_eq!(terminal.wait_for_end(), 0);
        let rest = terminal.shown();
        assert!(rest.contains("=> [2/2] RUN echo line") && !rest.contains("=> => #"), "{rest:?}");
        assert!(rest.ends_with("\x1b[?25h"), "the cursor is hidden: {rest:?}");
    }

    fn an_interruption_ends_everything(dhow) {
        context(dhow, "FROM busybox\nRUN echo begun; sleep 1000\n");
        let mut terminal = dhow.cmd("build --network none ctx").pty(80, 24);
        terminal.expect(" => => # begun");
        terminal.send("\x03");
        assert_eq!(terminal.wait_for_end(), 130);
        let rest = terminal.shown();
        assert!(rest.contains("CANCELED [2/2] RUN") && rest.contains("context canceled"), "{rest:?}");
        assert!(rest.rfind("\x1b[?25h") > rest.rfind("\x1b[?25l"), "{rest:?}");
        dhow.settle();
        assert!(dhow.processes().is_empty(), "{:?}", dhow.processes());
    }
}
