//! Scripted builds, and exactly what is shown of them.

use super::*;

fn step(id: u32, name: &str) -> BuildEvent {
    BuildEvent::Step {
        id: StepId(id),
        name: name.into(),
        inputs: if id == 0 { vec![] } else { vec![StepId(id - 1)] },
    }
}

fn started(id: u32, at: u64) -> BuildEvent {
    BuildEvent::Started { id: StepId(id), at }
}

fn log(id: u32, at: u64, text: &str) -> BuildEvent {
    BuildEvent::Log { id: StepId(id), stream: 1, data: text.into(), at }
}

fn status(id: u32, at: u64, name: &str, current: u64, total: u64, done: bool) -> BuildEvent {
    BuildEvent::Status { id: StepId(id), name: name.into(), current, total, done, at }
}

fn ended(id: u32, at: u64) -> BuildEvent {
    BuildEvent::Ended { id: StepId(id), cached: false, error: None, at }
}

fn cached(id: u32, at: u64) -> BuildEvent {
    BuildEvent::Ended { id: StepId(id), cached: true, error: None, at }
}

fn failed(id: u32, at: u64, why: &str) -> BuildEvent {
    BuildEvent::Ended { id: StepId(id), cached: false, error: Some(why.into()), at }
}

fn plain(events: &[BuildEvent]) -> String {
    let (mut trace, mut plain) = (BuildTrace::default(), PlainProgress::new(String::new()));
    let mut out = Vec::new();
    for event in events {
        let about = trace.record(event);
        out.extend(plain.event(event, about, &mut trace));
    }
    out.extend(plain.finish(&mut trace));
    out.extend(failed_outputs(&trace));
    String::from_utf8(out).unwrap()
}

const FAILURE: &str = "process \"/bin/sh -c false\" did not complete successfully: exit code: 1";

fn usual() -> Vec<BuildEvent> {
    vec![
        step(0, "[internal] load build definition from Dockerfile"),
        step(1, "[1/3] FROM docker.io/library/alpine"),
        step(2, "[2/3] COPY a b"),
        step(3, "[3/3] RUN make"),
        started(0, 0),
        status(0, 3, "transferring dockerfile:", 127, 0, true),
        ended(0, 20),
        started(1, 20),
        status(1, 100, "sha256:aa", 0, 10_000_000, false),
        status(1, 200, "sha256:aa", 3_000_000, 10_000_000, false),
        status(1, 210, "sha256:aa", 3_100_000, 10_000_000, false),
        status(1, 320, "sha256:aa", 10_000_000, 10_000_000, true),
        ended(1, 400),
        started(2, 400),
        cached(2, 400),
        started(3, 500),
        log(3, 623, "one\ntw"),
        log(3, 700, "o\n"),
    ]
}

#[test]
fn plain_lines_of_a_build() {
    let mut events = usual();
    events.push(ended(3, 12_840));
    assert_eq!(
        plain(&events),
        "#1 [internal] load build definition from Dockerfile\n\
         #1 transferring dockerfile: 127B done\n\
         #1 DONE 0.0s\n\
         \n\
         #2 [1/3] FROM docker.io/library/alpine\n\
         #2 sha256:aa 0B / 10.00MB\n\
         #2 sha256:aa 3.00MB / 10.00MB 0.1s\n\
         #2 sha256:aa 10.00MB / 10.00MB 0.2s done\n\
         #2 DONE 0.4s\n\
         \n\
         #3 [2/3] COPY a b\n\
         #3 CACHED\n\
         \n\
         #4 [3/3] RUN make\n\
         #4 0.123 one\n\
         #4 0.123 two\n\
         #4 DONE 12.3s\n"
    );
}

#[test]
fn plain_lines_of_a_failure() {
    let mut events = usual();
    events.extend([log(3, 13_000, "no\nend"), failed(3, 13_100, FAILURE)]);
    let text = plain(&events);
    let (_, end) = text.split_once("#4 0.123 two\n").unwrap();
    assert_eq!(
        end,
        format!(
            "#4 12.50 no\n#4 12.50 end\n#4 ERROR: {FAILURE}\n------\n > [3/3] RUN make:\n0.123 one\n0.123 two\n\
             12.50 no\n12.50 end\n------\n"
        )
    );
}

#[test]
fn what_is_over_at_once_does_not_interrupt_what_only_began() {
    let text = plain(&[
        step(0, "a"),
        step(1, "b"),
        started(0, 0),
        started(1, 0),
        cached(1, 0),
        log(0, 10, "from a\n"),
        ended(0, 20),
    ]);
    assert_eq!(text, "#1 b\n#1 CACHED\n\n#2 a\n#2 0.010 from a\n#2 DONE 0.0s\n");
}

#[test]
fn a_step_keeps_the_output_until_it_ends() {
    let text = plain(&[
        step(0, "a"),
        step(1, "b"),
        started(0, 0),
        log(0, 5, "first\n"),
        started(1, 0),
        log(1, 10, "from b\n"),
        log(0, 20, "from a\n"),
        ended(0, 100),
        ended(1, 300),
    ]);
    assert_eq!(
        text,
        "#1 a\n#1 0.005 first\n#1 0.020 from a\n#1 DONE 0.1s\n\n#2 b\n#2 0.010 from b\n#2 DONE 0.3s\n"
    );
}

#[test]
fn a_silent_step_gets_its_turn() {
    let text = plain(&[
        step(0, "a"),
        step(1, "b"),
        started(0, 0),
        log(0, 5, "first\n"),
        started(1, 0),
        log(1, 10, "from b\n"),
        log(0, 11_000, "from a"),
        log(1, 11_100, "more\n"),
        ended(1, 11_200),
        ended(0, 11_300),
    ]);
    assert_eq!(
        text,
        "#1 a\n#1 0.005 first\n#1 11.00 from a\n#1 ...\n\n#2 b\n#2 0.010 from b\n#2 11.10 more\n#2 DONE 11.2s\n\n#1 a\n\
         #1 11.00 from a\n#1 DONE 11.3s\n"
    );
}

#[test]
fn what_is_cancelled_says_so() {
    let text = plain(&[step(0, "a"), started(0, 0), failed(0, 10, "context canceled")]);
    assert_eq!(text, "#1 a\n#1 CANCELED\n");
}

fn tty(events: &[BuildEvent], size: TerminalSize, last: bool) -> String {
    let none = ProgressColours::from_environment(&Environment::default().with("NO_COLOR", "1")).0;
    let (mut trace, mut tty) = (BuildTrace::default(), TtyProgress::new(none, "dhow:default".into()));
    for event in events {
        trace.record(event);
        tty.event(event);
    }
    let frame = String::from_utf8(tty.frame(&trace, size, last)).unwrap();
    assert!(frame.starts_with("\x1b[?25l\r\x1b[J") && frame.ends_with("\x1b[?25h"), "{frame:?}");
    frame.replace("\x1b[?25l\r\x1b[J", "").replace("\x1b[?25h", "")
}

#[test]
fn the_live_view() {
    let shown = tty(&usual(), TerminalSize { width: 61, height: 30 }, false);
    assert_eq!(
        shown,
        "[+] Building 0.7s (3/4)                         dhow:default\n \
         => [internal] load build definition from Dockerfile    0.0s\n \
         => => transferring dockerfile: 127B                    0.0s\n \
         => [1/3] FROM docker.io/library/alpine                 0.4s\n \
         => => sha256:aa 10.00MB / 10.00MB                      0.2s\n \
         => CACHED [2/3] COPY a b                               0.0s\n \
         => [3/3] RUN make                                      0.2s\n \
         => => # one\n \
         => => # two\n"
    );
}

#[test]
fn the_last_frame_shows_everything() {
    let mut events = usual();
    events.push(failed(3, 12_840, FAILURE));
    let shown = tty(&events, TerminalSize { width: 41, height: 4 }, true);
    assert!(shown.starts_with("[+] Building 12.8s (4/4) FINISHED"), "{shown}");
    assert!(shown.ends_with(" => ERROR [3/3] RUN make           12.3s\n"), "{shown}");
    assert_eq!(shown.lines().count(), 7);
    assert!(!shown.contains('#'));
}

#[test]
fn few_rows_go_to_what_runs() {
    let mut events = vec![];
    for id in 0..20 {
        events.extend([step(id, &format!("step {id}")), started(id, 0)]);
    }
    events.extend((0..20).filter(|id| *id != 3).map(|id| ended(id, 100)));
    let shown = tty(&events, TerminalSize { width: 40, height: 6 }, false);
    let names: Vec<_> = shown.lines().skip(1).map(|line| line[4..12].trim()).collect();
    assert_eq!(names, ["step 3", "step 17", "step 18", "step 19"]);
}

#[test]
fn a_narrow_terminal_shows_no_more_than_fits() {
    for width in 1..50 {
        let shown = tty(&usual(), TerminalSize { width, height: 30 }, false);
        assert!(shown.lines().all(|line| line.chars().count() <= width), "{width}: {shown}");
    }
    assert_eq!(tty(&usual(), TerminalSize { width: 20, height: 30 }, false).lines().count(), 1);
}

#[test]
fn a_frame_is_drawn_over_the_last_one() {
    let none = ProgressColours::default();
    let (mut trace, mut tty) = (BuildTrace::default(), TtyProgress::new(none, String::new()));
    for event in usual() {
        trace.record(&event);
    }
    let first = String::from_utf8(tty.frame(&trace, TerminalSize { width: 40, height: 30 }, false)).unwrap();
    let rows = first.matches('\n').count();
    let second = String::from_utf8(tty.frame(&trace, TerminalSize { width: 40, height: 30 }, false)).unwrap();
    assert!(second.starts_with(&format!("\x1b[?25l\r\x1b[{rows}A\x1b[J")), "{second:?}");
    // Half as wide, each line takes two rows now.
    let third = String::from_utf8(tty.frame(&trace, TerminalSize { width: 20, height: 30 }, false)).unwrap();
    assert!(third.starts_with(&format!("\x1b[?25l\r\x1b[{}A\x1b[J", rows * 2)), "{third:?}");
    assert!(second.contains("\x1b[34m => CACHED [2/3] COPY a b"), "{second:?}");
}

#[test]
fn json_lines() {
    let mut trace = BuildTrace::default();
    let mut json = RawJsonProgress::new(Timestamp::UNIX_EPOCH);
    let mut lines = |event: &BuildEvent| {
        trace.record(event);
        let line = String::from_utf8(json.event(event, &trace)).unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()
    };
    lines(&step(0, "a"));
    let first = lines(&step(1, "b"));
    let digest = first["vertexes"][0]["digest"].clone();
    assert!(digest.as_str().unwrap().starts_with("sha256:"));
    assert_eq!(first["vertexes"][0]["name"], "b");
    assert_eq!(first["vertexes"][0]["inputs"].as_array().unwrap().len(), 1);
    assert_eq!(lines(&started(1, 1500))["vertexes"][0]["started"], "1970-01-01T00:00:01.5Z");
    let log = lines(&log(1, 1600, "hi\n"));
    assert_eq!((&log["logs"][0]["data"], &log["logs"][0]["stream"]), (&"aGkK".into(), &1.into()));
    assert_eq!(log["logs"][0]["vertex"], digest);
    let part = lines(&status(1, 1700, "sha256:aa", 5, 10, true));
    assert_eq!((&part["statuses"][0]["current"], &part["statuses"][0]["total"]), (&5.into(), &10.into()));
    assert_eq!(part["statuses"][0]["completed"], "1970-01-01T00:00:01.7Z");
    let end = lines(&failed(1, 1800, "no"));
    assert_eq!(
        (&end["vertexes"][0]["error"], &end["vertexes"][0]["completed"]),
        (&"no".into(), &"1970-01-01T00:00:01.8Z".into())
    );
}

fn warning(line: u32) -> CheckWarning {
    CheckWarning {
        rule: "StageNameCasing".into(),
        description: "Stage names should be lowercase".into(),
        url: "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/".into(),
        message: "Stage name 'A' should be lowercase".into(),
        lines: (line, line),
    }
}

#[test]
fn warnings_are_listed() {
    let none = ProgressColours::from_environment(&Environment::default().with("NO_COLOR", "1")).0;
    assert_eq!(warning_list(&[], &none, false), "");
    assert_eq!(
        warning_list(&[warning(1), warning(3)], &none, false),
        "\n 2 warnings found (use dhow --debug to expand):\n - StageNameCasing: Stage name 'A' should be \
         lowercase (line 1)\n - StageNameCasing: Stage name 'A' should be lowercase (line 3)\n"
    );
    let expanded = warning_list(&[warning(1)], &ProgressColours::default(), true);
    assert!(expanded.starts_with("\n \x1b[33m1 warning found:\x1b[0m\n - Stage"), "{expanded}");
    assert!(expanded.contains("Stage names should be lowercase\nMore info: https://docs"), "{expanded}");
}

#[test]
fn builds_one_after_another_are_told_apart() {
    let mut display = BuildDisplay::with_view(BuildView::Nothing, ProgressColours::default());
    display.begin_build(Some("app"));
    display.event(step(0, "[internal] load build definition"));
    display.event(step(1, "exporting to image"));
    display.begin_build(Some("db"));
    display.event(step(0, "[1/2] FROM x"));
    display.event(started(0, 5));
    let names: Vec<_> = display.trace.steps.values().map(|step| step.name.as_str()).collect();
    assert_eq!(
        names,
        ["[app internal] load build definition", "[app] exporting to image", "[db 1/2] FROM x"]
    );
    assert!(display.trace.steps[&StepId(2)].began.is_some_and(|at| at >= 5));
}
