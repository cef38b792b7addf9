//! Whole files, and the targets they resolve to.

use serde_json::{Value, json};

use super::*;
use crate::request::{ContextSource, DockerfileSource};
use dhow_model::environment::Environment;

fn client(variables: &[(&str, &str)]) -> ClientEnv {
    ClientEnv { environment: variables.iter().copied().collect::<Environment>(), dir: "/".into() }
}

fn file(name: &str, text: &str) -> BakeFile {
    BakeFile { name: name.into(), content: text.into(), dotenv: None }
}

fn bake(
    files: &[BakeFile],
    names: &[&str],
    sets: &[&str],
    variables: &[(&str, &str)],
) -> Result<ResolvedTargets, Failure> {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let client = client(variables);
    BakeConfig::parse(files, &client)?.resolve(&list(names), &list(sets), &client)
}

fn printed(resolved: &ResolvedTargets) -> Value {
    serde_json::from_str(&resolved.printed()).unwrap()
}

const HCL: &str = r#"
variable "TAG" { default = "latest" }
variable "DEBUG" { default = false }
variable "LIST" { default = ["a", "b"] }
repo = "example.org/${TAG}"

function "image" {
  params = [name]
  result = "example.org/${name}:${TAG}"
}

group "default" { targets = ["app", "db"] }

target "base" {
  description = "what all share"
  args = { A = "1", N = 2, T = true, GONE = null }
  labels = { "a.b" = "c" }
  platforms = ["linux/amd64"]
  tags = ["base"]
}

target "app" {
  inherits = ["base"]
  context = "app"
  dockerfile = DEBUG ? "Dockerfile.debug" : "Dockerfile"
  args = { B = join(",", LIST) }
  tags = [image("app"), "${repo}/x"]
  output = [{ type = "local", dest = "out" }, "type=docker"]
  contexts = { src = "target:db" }
}

target "db" {
  inherits = ["base"]
  no-cache = true
  secret = [{ id = "x", env = "X" }]
  cache-from = ["user/app:cache"]
}
"#;

#[test]
fn targets_of_hcl() {
    let resolved = bake(&[file("docker-bake.hcl", HCL)], &[], &[], &[]).unwrap();
    assert_eq!(
        printed(&resolved),
        json!({
            "group": { "default": { "targets": ["app", "db"] } },
            "target": {
                "app": {
                    "description": "what all share", "context": "app", "dockerfile": "Dockerfile",
                    "args": { "A": "1", "B": "a,b", "N": "2", "T": "true" }, "labels": { "a.b": "c" },
                    "contexts": { "src": "target:db" },
                    "tags": ["example.org/app:latest", "example.org/latest/x"], "platforms": ["linux/amd64"],
                    "output": [{ "type": "local", "dest": "out" }, { "type": "docker" }],
                },
                "db": {
                    "description": "what all share", "context": ".", "dockerfile": "Dockerfile",
                    "args": { "A": "1", "N": "2", "T": "true" }, "labels": { "a.b": "c" }, "tags": ["base"],
                    "platforms": ["linux/amd64"], "no-cache": true, "secret": [{ "id": "x", "env": "X" }],
                    "cache-from": [{ "type": "registry", "ref": "user/app:cache" }],
                },
            },
        })
    );
    assert_eq!(resolved.build_order().unwrap(), ["db", "app"]);
}

#[test]
fn the_environment_sets_variables() {
    let variables = [("TAG", "v1"), ("DEBUG", "1"), ("LIST", "x,y,z")];
    let resolved = bake(&[file("b.hcl", HCL)], &["app"], &[], &variables).unwrap();
    let app = &printed(&resolved)["target"]["app"];
    assert_eq!(app["tags"][0], "example.org/app:v1");
    assert_eq!(app["dockerfile"], "Dockerfile.debug");
    assert_eq!(app["args"]["B"], "x,y,z");
    assert_eq!(resolved.groups["default"], ["app"]);
    assert!(resolved.requested.contains("app") && !resolved.requested.contains("db"));
    let wrong = bake(&[file("b.hcl", HCL)], &["app"], &[], &[("DEBUG", "maybe")]).unwrap_err();
    assert!(wrong.to_string().contains("failed to parse DEBUG as bool: \"maybe\""), "{wrong}");
}

#[test]
fn overrides_of_the_command_line() {
    let sets = [
        "*.platform=linux/arm64,linux/amd64",
        "app.args.B=set",
        "app.args.HOME",
        "app.args.NONE",
        "a*.tags=one",
        "app.tags=two",
        "db.tags+=more",
        "*.no-cache=false",
        "app.push=true",
        "db.load=true",
        "*.provenance=mode=max",
    ];
    let resolved = bake(&[file("b.hcl", HCL)], &[], &sets, &[("HOME", "/h")]).unwrap();
    let print = printed(&resolved);
    let (app, db) = (&print["target"]["app"], &print["target"]["db"]);
    assert_eq!(app["platforms"], json!(["linux/arm64", "linux/amd64"]));
    assert_eq!(app["args"], json!({ "A": "1", "B": "set", "HOME": "/h", "N": "2", "T": "true" }));
    assert_eq!(app["tags"], json!(["one", "two"]));
    assert_eq!(db["tags"], json!(["base", "more"]));
    assert_eq!(db["no-cache"], false);
    assert_eq!(app["output"][2], json!({ "type": "image", "push": "true" }));
    assert_eq!(db["output"], json!([{ "type": "docker" }]));
    assert_eq!(db["attest"], json!([{ "type": "provenance", "mode": "max" }]));
    for (set, message) in [
        ("app", "invalid override key app, expected target.name"),
        ("app.tags", "invalid override app.tags, expected target.name=value"),
        ("app.args=x", "invalid key app.args, args requires name"),
        ("nobody.tags=x", "could not find any target matching 'nobody'"),
        ("app.nonsense=x", "unknown key: nonsense"),
    ] {
        let wrong = bake(&[file("b.hcl", HCL)], &[], &[set], &[]).unwrap_err();
        assert_eq!(wrong.to_string(), message, "{set}");
    }
}

#[test]
fn matrices_unfold() {
    let text = r#"
        target "app" {
          name = "app-${tgt}-${replace(v.n, ".", "-")}"
          matrix = { tgt = ["x", "y"], v = [{ n = "1.0" }, { n = "2.0" }] }
          target = tgt
          args = { V = v.n }
        }"#;
    let resolved = bake(&[file("b.hcl", text)], &["app"], &[], &[]).unwrap();
    let names: Vec<_> = resolved.targets.keys().collect();
    assert_eq!(names, ["app-x-1-0", "app-x-2-0", "app-y-1-0", "app-y-2-0"]);
    assert_eq!(resolved.targets["app-y-2-0"].text("target"), Some("y"));
    assert_eq!(resolved.groups["app"].len(), 4);
    let text = "target \"a\" { matrix = { x = [1] } }";
    assert!(bake(&[file("b.hcl", text)], &["a"], &[], &[]).unwrap_err().to_string().contains("no name"));
}

#[test]
fn variables_are_validated_and_may_not_go_in_circles() {
    let text = r#"
        variable "N" {
          default = 1
          type = number
          validation {
            condition = N > 0
            error_message = "N is positive, not ${N}."
          }
        }
        target "default" { args = { N = N + 1 } }"#;
    let resolved = bake(&[file("b.hcl", text)], &[], &[], &[("N", "4")]).unwrap();
    assert_eq!(printed(&resolved)["target"]["default"]["args"]["N"], "5");
    let wrong = bake(&[file("b.hcl", text)], &[], &[], &[("N", "-4")]).unwrap_err();
    assert_eq!(wrong.to_string(), "Validation failed; variable \"N\": N is positive, not -4.");
    let text = "a = b\nb = a\ntarget \"default\" { context = a }";
    let wrong = bake(&[file("b.hcl", text)], &[], &[], &[]).unwrap_err();
    assert!(wrong.to_string().contains("variable cycle not allowed"), "{wrong}");
    let text = "function \"f\" {\n params = [x]\n result = f(x)\n}\ntarget \"default\" { context = f(1) }";
    let wrong = bake(&[file("b.hcl", text)], &[], &[], &[]).unwrap_err();
    assert!(wrong.to_string().contains("without end"), "{wrong}");
}

#[test]
fn json_has_templates_too() {
    let json = r#"{
        "variable": { "TAG": { "default": "1" } },
        "group": { "default": { "targets": ["a"] } },
        "target": { "a": { "tags": ["x:${TAG}"], "args": { "B": null } } }
    }"#;
    let hcl = "target \"a\" { labels = { k = \"v\" } }";
    let files = [file("docker-bake.json", json), file("docker-bake.override.hcl", hcl)];
    let resolved = bake(&files, &[], &[], &[("TAG", "2")]).unwrap();
    assert_eq!(
        printed(&resolved)["target"]["a"],
        json!({ "context": ".", "dockerfile": "Dockerfile", "labels": { "k": "v" }, "tags": ["x:2"] })
    );
}

const COMPOSE: &str = r#"
x-common: &common
  args: { A: "${A:-a}" }
services:
  web.front:
    image: web:${TAG:-1}
    build:
      <<: *common
      context: ./web
      dockerfile: D
      target: run
      additional_contexts: { db: "service:db" }
      secrets: [token]
      ulimits: { nofile: { soft: 1, hard: 2 }, nproc: 5 }
      x-bake:
        platforms: [linux/amd64, linux/arm64]
        output: type=docker
  db:
    build: db
  none:
    image: redis
secrets:
  token: { environment: TOKEN }
"#;

#[test]
fn services_of_compose() {
    let resolved = bake(&[file("compose.yaml", COMPOSE)], &[], &[], &[("TAG", "7")]).unwrap();
    assert_eq!(
        printed(&resolved),
        json!({
            "group": { "default": { "targets": ["db", "web_front"] } },
            "target": {
                "db": { "context": "db", "dockerfile": "Dockerfile" },
                "web_front": {
                    "context": "./web", "dockerfile": "D", "target": "run", "args": { "A": "a" },
                    "contexts": { "db": "target:db" }, "tags": ["web:7"],
                    "secret": [{ "id": "token", "env": "TOKEN" }], "ulimits": ["nofile=1:2", "nproc=5"],
                    "platforms": ["linux/amd64", "linux/arm64"], "output": [{ "type": "docker" }],
                },
            },
        })
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (name, text, parts) in [
        ("b.hcl", "target \"a\" { contxt = \".\" }", vec!["contxt", "not expected"]),
        ("b.hcl", "targt \"a\" {}", vec!["b.hcl", "targt"]),
        ("b.hcl", "target \"a\" { context = }", vec!["b.hcl"]),
        ("b.hcl", "target \"a b\" {}", vec!["invalid target name \"a b\""]),
        ("b.hcl", "target \"default\" { context = nope }", vec!["no variable named \"nope\""]),
        ("b.hcl", "target \"default\" { inherits = [\"x\"] }", vec!["failed to find target x"]),
        ("b.hcl", "target \"default\" { tags = \"x\" }", vec!["\"tags\" is a list"]),
        ("b.json", "{", vec!["b.json"]),
        ("compose.yaml", "a: [", vec!["compose.yaml", "not YAML"]),
        ("compose.yaml", "a: 1", vec!["no services"]),
    ] {
        let wrong = bake(&[file(name, text)], &[], &[], &[]).unwrap_err().to_string();
        assert!(parts.iter().all(|part| wrong.contains(part)), "{text}: {wrong}");
    }
    let circle = "target \"a\" { inherits = [\"b\"] }\ntarget \"b\" { inherits = [\"a\"] }";
    assert!(bake(&[file("b.hcl", circle)], &["a"], &[], &[]).unwrap_err().to_string().contains("loop"));
    let circle = "target \"a\" { contexts = { x = \"target:a\" } }";
    let resolved = bake(&[file("b.hcl", circle)], &["a"], &[], &[]).unwrap();
    assert!(resolved.build_order().is_err());
    let missing = bake(&[file("b.hcl", HCL)], &["nobody"], &[], &[]).unwrap_err();
    assert_eq!(missing.hint_text(), Some("there are: app, base, db, default"));
}

#[test]
fn requests() {
    let text = r#"target "default" {
        context = "/proc"
        dockerfile = "sub/D"
        tags = ["x"]
        args = { SOURCE_DATE_EPOCH = "5" }
        contexts = { base = "docker-image://alpine", other = "target:o" }
        ssh = [{ id = "k", paths = "/etc/passwd" }]
        shm-size = "64m"
        extra-hosts = { h = "10.0.0.1" }
        network = "none"
        entitlements = ["network.host"]
    }
    target "o" { dockerfile-inline = "FROM scratch" }"#;
    let resolved = bake(&[file("b.hcl", text)], &[], &[], &[]).unwrap();
    let request = resolved.targets["default"].request(&client(&[])).unwrap();
    assert_eq!(request.context, ContextSource::Directory("/proc".into()));
    assert_eq!(request.dockerfile, DockerfileSource::Path("/proc/sub/D".into()));
    assert_eq!(request.epoch, Some(5));
    assert_eq!(request.contexts["base"], ContextSource::Image("alpine".into()));
    assert_eq!(request.contexts["other"], ContextSource::Target("o".into()));
    assert_eq!((request.shm_size, request.network.as_str()), (Some(64 << 20), "none"));
    assert_eq!(request.add_hosts, ["h:10.0.0.1"]);
    assert_eq!(request.allow, ["network.host"]);
    assert_eq!(request.ssh[0].id, "k");
    let inline = resolved.targets["o"].request(&client(&[])).unwrap();
    assert_eq!(inline.dockerfile, DockerfileSource::Inline("FROM scratch".into()));
}
