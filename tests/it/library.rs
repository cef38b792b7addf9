//! The parts of dhow that are tested from outside without the binary, named in this file alone.

pub(crate) use {
    dhow_build as build, dhow_cli as cli, dhow_engine as engine, dhow_error as error, dhow_image as image,
    dhow_model as model, dhow_network as network, dhow_sandbox as sandbox, dhow_store as store,
};
