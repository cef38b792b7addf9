//! Use cases, one verb a file: joins the store, images and the sandbox.
