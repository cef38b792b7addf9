//! Named contexts of type `oci-layout://`: the image is loaded into the store and replaces the context.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::job::JobUserns;
use crate::job::runner::JobRunner;
use crate::request::{BuildRequest, ContextSource};
use dhow_image::archive::directory::LayoutSelector;
use dhow_image::archive::load::{LoadOptions, load_layout};
use dhow_model::digest::Digest;
use dhow_store::Store;

/// The request with its OCI layouts replaced by images, which are then in the store.
pub(crate) fn load_layouts<'r>(
    runner: &mut JobRunner<'_>,
    store: &Store,
    request: &'r BuildRequest,
) -> Result<Cow<'r, BuildRequest>> {
    let mut request = Cow::Borrowed(request);
    for (name, source) in request.contexts.clone() {
        let ContextSource::OciLayout(address) = source else { continue };
        let step = runner.add_step(format!("[context {name}] oci-layout://{address}"), Vec::new());
        let options =
            LoadOptions { identity: runner.ownership(), platform: request.platforms.first().cloned() };
        let (store, address) = (store.clone(), address.clone());
        let id = runner.run_job(step, JobUserns::Root, move |reporter| {
            let (path, selector) = parse_layout_address(&address);
            load_layout(&store, Path::new(path), &selector, &options, reporter)
                .with_context(|| format!("cannot use the OCI layout `{address}`"))
        });
        let id = runner.complete_step(step, id)?;
        request.to_mut().contexts.insert(name, ContextSource::Image(id.as_str().to_owned()));
    }
    Ok(request)
}

/// `PATH[:TAG|@DIGEST]`
fn parse_layout_address(address: &str) -> (&str, LayoutSelector) {
    if let Some((path, digest)) = address.rsplit_once('@')
        && let Ok(digest) = digest.parse::<Digest>()
    {
        // A tag next to the digest is dropped: the digest decides.
        return (parse_layout_address(path).0, LayoutSelector::Digest(digest));
    }
    match address.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((path, tag)) => (path, LayoutSelector::Tag(tag.to_owned())),
        None => (address, LayoutSelector::Default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_image_is_meant() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(parse_layout_address("/a/b"), ("/a/b", LayoutSelector::Default));
        assert_eq!(parse_layout_address("/a:b/c"), ("/a:b/c", LayoutSelector::Default));
        assert_eq!(parse_layout_address("/a/b:v1"), ("/a/b", LayoutSelector::Tag("v1".into())));
        assert_eq!(
            parse_layout_address(&format!("/a/b@{digest}")),
            ("/a/b", LayoutSelector::Digest(digest.parse().unwrap()))
        );
    }
}
