//! The only writer below the data root: layers, images, containers, volumes, their locks and their removal.
