//! Real applications, from Debian's packages and the registries of their languages: built, run, pushed, pulled and run
//! by buildah, and compared with what buildah builds from the same Dockerfile.

mod buildah;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use self::buildah::{Buildah, Content};
use crate::support::registry::free_port;
use crate::support::{Dhow, Image, Registry, debian, each_mode, have_programs};

/// For builds, which install packages.
const LIMIT: Duration = Duration::from_secs(500);

/// The certificate authorities of this machine, a secret of the builds: downloads need them, and no layer must have
/// them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What the tests of one application share in both identity modes: a registry with the base image, and what buildah makes
/// of the Dockerfile, which is built once. Ends with the last test that uses it.
struct Shared {
    registry: Registry,
    theirs: OnceLock<Content>,
}

impl Shared {
    fn of(name: &'static str, base: &Image) -> Option<Arc<Self>> {
        static SHARED: Mutex<BTreeMap<&str, Weak<Shared>>> = Mutex::new(BTreeMap::new());
        let mut all = SHARED.lock().unwrap();
        if let Some(shared) = all.get(name).and_then(Weak::upgrade) {
            return Some(shared);
        }
        let registry = Registry::plain()?;
        registry.push(base, "base:latest");
        let shared = Arc::new(Self { registry, theirs: OnceLock::new() });
        all.insert(name, Arc::downgrade(&shared));
        Some(shared)
    }
}

/// An application that is built by dhow, pushed, and compared with what buildah builds.
struct Application<'a> {
    dhow: &'a Dhow,
    shared: Arc<Shared>,
    name: &'static str,
    context: PathBuf,
}

impl<'a> Application<'a> {
    /// `files` become the context; `base` is the image that its Dockerfile calls `${BASE}`.
    fn new(dhow: &'a Dhow, base: &Image, name: &'static str, files: &[(&str, &str)]) -> Option<Self> {
        if !have_programs(&["skopeo", "buildah"]) {
            return None;
        }
        let shared = Shared::of(name, base)?;
        let context = dhow.make_dir(name);
        for (path, text) in files {
            dhow.write(&format!("{name}/{path}"), text);
            let mut dir = Path::new(path).parent();
            while let Some(parent) = dir.filter(|parent| !parent.as_os_str().is_empty()) {
                dhow.give(&context.join(parent));
                dir = parent.parent();
            }
        }
        Some(Self { dhow, shared, name, context })
    }

    fn base(&self) -> String {
        self.shared.registry.name("base:latest")
    }

    fn tag(&self) -> String {
        self.shared.registry.name(&format!("{}:{:?}", self.name, self.dhow.mode).to_lowercase())
    }

    /// Builds it; returns the progress output.
    fn build(&self) -> String {
        let output = self
            .dhow
            .cmd("build --progress plain --build-arg")
            .arg(format!("BASE={}", self.base()))
            .arg("--secret")
            .arg(format!("id=ca,src={AUTHORITIES}"))
            .arg("-t")
            .arg(self.tag())
            .arg(&self.context)
            .limit(LIMIT)
            .output();
        assert_eq!(output.code, 0, "{}", output.err());
        output.err()
    }

    /// Builds it again: every step comes from the cache.
    fn build_again(&self) {
        let id = |application: &Self| {
            application.dhow.cmd("image inspect -f {{.Id}}").arg(application.tag()).ok().out()
        };
        let before = id(self);
        let said = self.build();
        assert_eq!(id(self), before, "{said}");
        assert!(said.contains("CACHED"), "{said}");
    }

    /// Runs the image to its end; returns the output.
    fn run(&self, arguments: &[&str]) -> String {
        self.dhow.run("").arg(self.tag()).args(arguments).ok().out()
    }

    fn push(&self) {
        self.dhow.cmd("push -q").arg(self.tag()).ok();
    }

    /// Asserts that the image is like the one that buildah builds from the same Dockerfile.
    fn compare(&self, buildah: &Buildah, unlike: &[&str]) {
        let theirs = self.shared.theirs.get_or_init(|| {
            let tag = self.shared.registry.name(&format!("{}:theirs", self.name));
            buildah.build(&self.context, &format!("BASE={}", self.base()), &tag);
            Content::of(&tag)
        });
        Content::of(&self.tag()).assert_like(theirs, unlike);
    }
}

/// Requests `/` from a web server of this machine until it answers.
fn fetch(port: u16) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        });
        match answer {
            Ok(text) if text.contains("200 OK") => return text,
            other => assert!(Instant::now() < deadline, "no answer: {other:?}"),
        }
        std::thread::yield_now();
    }
}

const PYTHON: &[(&str, &str)] = &[
    (
        "Dockerfile",
        r#"# syntax=docker/dockerfile:1
ARG BASE
FROM ${BASE}
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_COMPILE=1
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update -q && \
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3 python3-pip
WORKDIR /app
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca,target=/run/ca.crt \
    PIP_CERT=/run/ca.crt pip install -q --break-system-packages --root-user-action=ignore -r requirements.txt
COPY --chown=nobody:nogroup app.py .
LABEL org.example.kind="python"
EXPOSE 8000
USER nobody
CMD ["python3", "app.py"]
"#,
    ),
    ("requirements.txt", "six==1.16.0\n"),
    ("app.py", "import os, six\nprint('python', six.__version__, os.getuid(), six.ensure_str(b'ok'))\n"),
    (".dockerignore", "**/*.pyc\n.git\n"),
];

const C: &[(&str, &str)] = &[
    (
        "Dockerfile",
        r#"ARG BASE
FROM ${BASE} AS build
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc libc6-dev make
COPY src /src
RUN make -C /src hello
FROM scratch
COPY --from=build /src/hello /hello
ENTRYPOINT ["/hello"]
CMD ["world"]
"#,
    ),
    ("src/Makefile", "hello: hello.c\n\tcc -O1 -static -o hello hello.c\n"),
    (
        "src/hello.c",
        "#include <stdio.h>\nint main(int n, char **words) { return printf(\"hello %s\\n\", words[n - 1]) < 0; }\n",
    ),
];

const NODE: &[(&str, &str)] = &[
    (
        "Dockerfile",
        r#"ARG BASE
FROM ${BASE}
WORKDIR /srv/app
COPY package.json ./
RUN --mount=type=cache,target=/root/.npm \
    --mount=type=secret,id=ca,target=/run/ca.crt \
    NODE_EXTRA_CA_CERTS=/run/ca.crt npm install --omit=dev --no-audit --no-fund --no-update-notifier
COPY . .
ENV NODE_ENV=production
USER 65534:65534
CMD ["node", "index.js"]
"#,
    ),
    (
        "package.json",
        r#"{"name": "app", "version": "1.0.0", "private": true, "dependencies": {"is-odd": "3.0.1", "ms": "2.1.3"}}"#,
    ),
    ("index.js", "console.log('node', require('ms')(60000), require('is-odd')(3), process.getuid());\n"),
    (".dockerignore", "node_modules\nDockerfile\n.dockerignore\n"),
];

const SITE: &[(&str, &str)] = &[
    (
        "Dockerfile",
        r#"ARG BASE
FROM ${BASE}
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends nginx-light && rm -rf /var/lib/apt/lists/*
RUN ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log
COPY --chmod=0644 html/ /var/www/html/
EXPOSE 80/tcp
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=1s --timeout=3s CMD nginx -t
CMD ["nginx", "-g", "daemon off;"]
"#,
    ),
    ("html/index.html", "<h1>Harbour</h1>\n"),
    ("html/css/site.css", "h1 { color: teal }\n"),
];

each_mode! {
    fn a_python_application(dhow) {
        let Some(base) = debian::image() else { return };
        let Some(application) = Application::new(dhow, &base, "python", PYTHON) else { return };
        application.build();
        assert_eq!(application.run(&[]), "python 1.16.0 65534 ok");
        application.build_again();
        application.push();
        let buildah = Buildah::new(dhow);
        assert_eq!(buildah.run(&application.tag(), &["python3", "app.py"]), "python 1.16.0 65534 ok");
        application.compare(&buildah, &["root/.cache", "var/lib/apt/lists", "var/cache/apt"]);
    }

    fn a_program_alone(dhow) {
        let Some(base) = debian::image() else { return };
        let Some(application) = Application::new(dhow, &base, "program", C) else { return };
        application.build();
        assert_eq!(application.run(&[]), "hello world");
        assert_eq!(application.run(&["captain"]), "hello captain");
        assert_eq!(application.dhow.cmd("image inspect -f").arg("{{len .RootFS.Layers}}").arg(application.tag()).ok().out(), "1");
        application.build_again();
        application.push();
        let buildah = Buildah::new(dhow);
        assert_eq!(buildah.run(&application.tag(), &["/hello", "there"]), "hello there");
        application.compare(&buildah, &[]);
    }

    fn a_node_application(dhow) {
        let Some(base) = debian::with_node() else { return };
        let Some(application) = Application::new(dhow, &base, "node", NODE) else { return };
        application.build();
        assert_eq!(application.run(&[]), "node 1m true 65534");
        application.build_again();
        application.push();
        let buildah = Buildah::new(dhow);
        assert_eq!(buildah.run(&application.tag(), &["node", "index.js"]), "node 1m true 65534");
        application.compare(&buildah, &["root/.npm", "tmp"]);
    }

    fn a_site(dhow) {
        let Some(base) = debian::image() else { return };
        let Some(application) = Application::new(dhow, &base, "site", SITE) else { return };
        application.build();
        let port = free_port();
        dhow.cmd("run -d --name site -p").arg(format!("127.0.0.1:{port}:80")).arg(application.tag()).ok();
        assert!(fetch(port).contains("<h1>Harbour</h1>"));
        dhow.cmd("stop -t 5 site").ok();
        dhow.cmd("rm -v site").ok();
        application.build_again();
        application.push();
        let buildah = Buildah::new(dhow);
        assert!(buildah.run(&application.tag(), &["cat", "/var/www/html/index.html"]).contains("Harbour"));
        application.compare(&buildah, &[]);
    }
}
