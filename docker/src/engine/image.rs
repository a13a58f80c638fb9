//! Images: taken as they are, or built from a target's Dockerfile when there is none of that content yet.
//!
//! Comes in: a target, and what to build upon. Goes out: the image's name and digest. Called once in a campaign.
//!
//! A built image is called `gauntlet-<target>:<digest of its context and base>`, so that it is built again only when one of
//! them has changed. The classic builder is used: it is part of every engine, and needs no plugin and no registry.

use std::{collections::HashMap, path::PathBuf};

use bollard::{
    Docker, body_full,
    query_parameters::{BuildImageOptionsBuilder, CreateImageOptionsBuilder},
};
use futures_util::StreamExt;

use super::{Engine, EngineError, context::Files, is_absent, libraries, said};
use crate::target::{NodeKind, Target};

/// The base image that `docker/base.sh` makes when it is given no other name.
pub(super) const OWN_BASE: &str = "gauntlet-base:bookworm";

/// What is written on an image that was built here.
const TARGET_LABEL: &str = "io.gauntlet.target";

/// Lines of a build's output that are shown when it fails.
const SHOWN: usize = 25;

/// The program that a reference node's image holds.
#[derive(Debug, Clone)]
pub struct NodeProgram {
    /// The program. The libraries that it names go with it.
    pub path: PathBuf,
}

/// How images are made.
#[derive(Debug, Clone, Default)]
pub struct ImageOptions {
    /// What Dockerfiles build upon (`ARG BASE`). Left out: what the Dockerfile says, if that is there; else
    /// [`OWN_BASE`], if that is; else what the Dockerfile says is pulled.
    pub base: Option<String>,
    /// For the image of a reference node.
    pub node: Option<NodeProgram>,
}

/// An image that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// Its name, to start containers with.
    pub name: String,
    /// Its digest: `sha256:…`.
    pub id: String,
    /// What it was built upon, and that image's digest.
    pub base: Option<(String, String)>,
    /// It was built just now.
    pub fresh: bool,
}

impl Engine {
    /// The target's image, made when it is not there. Blocks for as long as a build takes.
    ///
    /// # Errors
    /// There is none, and it cannot be made; with the end of the build's output.
    pub fn image(
        &self,
        target: &Target,
        options: &ImageOptions,
    ) -> Result<BuiltImage, EngineError> {
        let (docker, target, options) = (self.docker.clone(), target.clone(), options.clone());
        self.blocking(async move {
            match &target.image.name {
                Some(name) => existing(&docker, name).await,
                None => built(&docker, &target, &options).await,
            }
        })
    }
}

/// An image that is not ours.
async fn existing(docker: &Docker, name: &str) -> Result<BuiltImage, EngineError> {
    let id = match id_of(docker, name).await? {
        Some(id) => id,
        None => pull(docker, name).await.map_err(|said| {
            EngineError::Image(format!(
                "the image {name} is not here, and cannot be pulled: {said}"
            ))
        })?,
    };
    Ok(BuiltImage {
        name: name.to_owned(),
        id,
        base: None,
        fresh: false,
    })
}

async fn built(
    docker: &Docker,
    target: &Target,
    options: &ImageOptions,
) -> Result<BuiltImage, EngineError> {
    let in_words = |error: super::ContextError| EngineError::Image(error.to_string());
    let mut files = Files::read(target.context()).map_err(in_words)?;
    let dockerfile = target.image.dockerfile.clone().unwrap_or_default();
    let text = files.content(&dockerfile).ok_or_else(|| {
        EngineError::Image(format!(
            "the target {} has no file {dockerfile} beside its target file",
            target.name
        ))
    })?;
    let default_base = default_base(&String::from_utf8_lossy(text));
    if target.node == NodeKind::ReferenceNode {
        let program = options.node.as_ref().ok_or_else(|| {
            EngineError::Image("the image of a reference node needs its program".into())
        })?;
        files
            .add("rootfs/reference-node", &program.path)
            .map_err(in_words)?;
        for library in libraries::of(&program.path)? {
            files
                .add(&format!("rootfs{}", library.display()), &library)
                .map_err(in_words)?;
        }
    }
    let base = match default_base {
        Some(default) => Some(base(docker, options.base.as_deref(), &default).await?),
        None => None,
    };

    let digest = files.digest(&[&dockerfile, base.as_ref().map_or("", |(_, id)| id)]);
    // 64 bits of it: nobody builds against it.
    let name = format!("gauntlet-{}:{}", target.name, &digest[..16]);
    if let Some(id) = id_of(docker, &name).await? {
        return Ok(BuiltImage {
            name,
            id,
            base,
            fresh: false,
        });
    }
    let archive = files
        .archive()
        .map_err(|error| EngineError::Image(format!("pack the files of {name}: {error}")))?;
    build(
        docker,
        target,
        &name,
        &dockerfile,
        base.as_ref().map(|(name, _)| name),
        archive,
    )
    .await?;
    let id = id_of(docker, &name).await?.ok_or_else(|| {
        EngineError::Image(format!("the engine has built {name}, and does not have it"))
    })?;
    Ok(BuiltImage {
        name,
        id,
        base,
        fresh: true,
    })
}

async fn build(
    docker: &Docker,
    target: &Target,
    name: &str,
    dockerfile: &str,
    base: Option<&String>,
    archive: Vec<u8>,
) -> Result<(), EngineError> {
    let arguments: HashMap<&str, &str> = base
        .map(|base| ("BASE", base.as_str()))
        .into_iter()
        .collect();
    let labels = HashMap::from([(TARGET_LABEL, target.name.as_str())]);
    let options = BuildImageOptionsBuilder::new()
        .dockerfile(dockerfile)
        .t(name)
        .buildargs(&arguments)
        .labels(&labels)
        .rm(true)
        .forcerm(true)
        .build();
    let mut told: Vec<String> = Vec::new();
    let mut output = docker.build_image(options, None, Some(body_full(archive.into())));
    while let Some(line) = output.next().await {
        let failed = match line {
            Ok(info) => {
                let text = info.stream.unwrap_or_default();
                told.extend(
                    text.lines()
                        .filter(|l| !l.trim().is_empty())
                        .map(str::to_owned),
                );
                info.error_detail
                    .map(|detail| detail.message.unwrap_or_default())
            }
            Err(error) => Some(said(&error)),
        };
        if let Some(failed) = failed {
            let end = told[told.len().saturating_sub(SHOWN)..].join("\n  ");
            return Err(EngineError::Image(format!(
                "the image of {} could not be built: {failed}\n  {end}",
                target.name
            )));
        }
    }
    Ok(())
}

/// What the Dockerfile builds upon when nobody says otherwise: the value of `ARG BASE=`. `None`: it does not ask.
fn default_base(dockerfile: &str) -> Option<String> {
    dockerfile.lines().find_map(|line| {
        let value = line.trim().strip_prefix("ARG BASE=")?;
        Some(value.trim().trim_matches('"').to_owned())
    })
}

/// The base image and its digest.
async fn base(
    docker: &Docker,
    wanted: Option<&str>,
    default: &str,
) -> Result<(String, String), EngineError> {
    if wanted.is_none() {
        for name in [default, OWN_BASE] {
            if let Some(id) = id_of(docker, name).await? {
                return Ok((name.to_owned(), id));
            }
        }
    }
    let name = wanted.unwrap_or(default);
    if let Some(id) = id_of(docker, name).await? {
        return Ok((name.to_owned(), id));
    }
    match pull(docker, name).await {
        Ok(id) => Ok((name.to_owned(), id)),
        Err(said) => Err(EngineError::Image(format!(
            "the base image {name} is not here, and cannot be pulled: {said}\n  where no registry is to be had, \
             `docker/base.sh` makes one (a minute, as root, with debootstrap): it is taken when it is called {OWN_BASE}; \
             another one is named with `--image-base NAME`"
        ))),
    }
}

/// The digest of an image; `None`: it is not here.
async fn id_of(docker: &Docker, name: &str) -> Result<Option<String>, EngineError> {
    match docker.inspect_image(name).await {
        Ok(image) => Ok(image.id),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(EngineError::refused(format!("look for the image {name}"))(
            error,
        )),
    }
}

/// Pulls an image, and gives its digest.
async fn pull(docker: &Docker, name: &str) -> Result<String, String> {
    let options = CreateImageOptionsBuilder::new().from_image(name).build();
    let mut output = docker.create_image(Some(options), None, None);
    while let Some(line) = output.next().await {
        line.map_err(|error| said(&error))?;
    }
    match id_of(docker, name).await {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err("it is not here after pulling".into()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_says_what_it_builds_upon() {
        assert_eq!(
            default_base("# x\nARG BASE=debian:bookworm-slim\nFROM ${BASE}\n").as_deref(),
            Some("debian:bookworm-slim")
        );
        assert_eq!(default_base("FROM scratch\n"), None);
    }
}
