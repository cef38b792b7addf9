//! Named contexts of type `oci-layout://`: the image is loaded into the store and replaces the context.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::super::director::Director;
use super::super::job::Place;
use super::super::request::{BuildRequest, ContextSource};
use crate::image::archive::directory::Which;
use crate::image::archive::read::{Options, load_layout};
use crate::model::digest::Digest;
use crate::store::Store;

/// The request with its OCI layouts replaced by images, which are then in the store.
pub(in crate::engine::build) fn loaded<'r>(
    director: &mut Director<'_>,
    store: &Store,
    request: &'r BuildRequest,
) -> Result<Cow<'r, BuildRequest>> {
    let mut request = Cow::Borrowed(request);
    for (name, source) in request.contexts.clone() {
        let ContextSource::OciLayout(address) = source else { continue };
        let step = director.step(format!("[context {name}] oci-layout://{address}"), Vec::new());
        let options =
            Options { identity: director.ownership(), platform: request.platforms.first().cloned() };
        let (store, address) = (store.clone(), address.clone());
        let id = director.run(step, Place::Root, move |reporter| {
            let (path, which) = parse(&address);
            load_layout(&store, Path::new(path), &which, &options, reporter)
                .with_context(|| format!("cannot use the OCI layout `{address}`"))
        });
        let id = director.closing(step, id)?;
        request.to_mut().contexts.insert(name, ContextSource::Image(id.as_str().to_owned()));
    }
    Ok(request)
}

/// `PATH[:TAG|@DIGEST]`
fn parse(address: &str) -> (&str, Which) {
    if let Some((path, digest)) = address.rsplit_once('@')
        && let Ok(digest) = digest.parse::<Digest>()
    {
        return (parse(path).0, Which::Digest(digest));
    }
    match address.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((path, tag)) => (path, Which::Tag(tag.to_owned())),
        None => (address, Which::Default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_image_is_meant() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(parse("/a/b"), ("/a/b", Which::Default));
        assert_eq!(parse("/a:b/c"), ("/a:b/c", Which::Default));
        assert_eq!(parse("/a/b:v1"), ("/a/b", Which::Tag("v1".into())));
        assert_eq!(parse(&format!("/a/b@{digest}")), ("/a/b", Which::Digest(digest.parse().unwrap())));
    }
}
