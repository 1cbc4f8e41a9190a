//! How messages look in MessagePack and JSON: maps with the names of the proto's fields.

use prost_build::Config;
use protox::prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use protox::prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::collections::{BTreeMap, BTreeSet};

/// Derives serde's traits for all messages. What only callers send refuses fields that it does not know: a misspelt
/// `expected_oid` must not remove a branch. What servers answer may grow.
pub(crate) fn attributes(described: &FileDescriptorSet, config: &mut Config) {
    let messages: BTreeMap<String, &DescriptorProto> = described
        .file
        .iter()
        .flat_map(|file| {
            file.message_type.iter().map(move |message| (named(file.package(), message.name()), message))
        })
        .collect();
    let answered = reachable(&messages, methods(described).map(|method| method.1));
    for (name, message) in &messages {
        let strict = if answered.contains(name) { "" } else { ", deny_unknown_fields" };
        config.type_attribute(name, "#[derive(serde::Serialize, serde::Deserialize)]");
        config.message_attribute(name, format!("#[serde(default{strict})]"));
        for field in &message.field {
            if let Some(with) = with(field) {
                config.field_attribute(
                    format!("{name}.{}", field.name()),
                    format!("#[serde(with = \"{with}\")]"),
                );
            }
        }
    }
}

/// Lists the messages that have a field `cursor`.
pub(crate) fn with_cursor(described: &FileDescriptorSet) -> BTreeSet<String> {
    let has = |message: &DescriptorProto| message.field.iter().any(|field| field.name() == "cursor");
    described
        .file
        .iter()
        .flat_map(|file| {
            file.message_type
                .iter()
                .filter(|&message| has(message))
                .map(|message| named(file.package(), message.name()))
        })
        .collect()
}

/// Writes what serde needs to know of each enumeration.
pub(crate) fn words(described: &FileDescriptorSet) -> String {
    described
        .file
        .iter()
        .flat_map(|file| &file.enum_type)
        .map(|kind| {
            let name = kind.name();
            format!(
                "impl crate::wire::Words for {name} {{\n    \
                 fn word(number: i32) -> Option<&'static str> {{ Self::try_from(number).ok().map(|value| value.as_str_name()) }}\n    \
                 fn number(word: &str) -> Option<i32> {{ Self::from_str_name(word).map(|value| value as i32) }}\n}}\n"
            )
        })
        .collect()
}

/// Names the module that writes and reads a field, if serde's own way does not do.
fn with(field: &FieldDescriptorProto) -> Option<String> {
    let many = field.label() == Label::Repeated;
    match field.r#type() {
        Type::Bytes if field.name().ends_with("oid") => Some("crate::wire::oid".to_owned()),
        Type::Bytes if many && field.name().ends_with("oids") => Some("crate::wire::oids".to_owned()),
        Type::Bytes if many => Some("crate::wire::texts".to_owned()),
        Type::Bytes => Some("crate::wire::text".to_owned()),
        Type::Enum if !many => {
            let kind = field.type_name().rsplit('.').next().unwrap_or_default();
            Some(format!("crate::wire::Named::<{kind}>"))
        }
        _ => None,
    }
}

/// Lists what each method takes and answers.
fn methods(described: &FileDescriptorSet) -> impl Iterator<Item = (String, String)> {
    described
        .file
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method)
        .map(|method| (method.input_type().to_owned(), method.output_type().to_owned()))
}

/// Follows messages into the messages of their fields.
fn reachable(
    messages: &BTreeMap<String, &DescriptorProto>,
    from: impl Iterator<Item = String>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<String> = from.collect();
    next.push(".hakata.git.v1.ErrorDetail".to_owned());
    while let Some(name) = next.pop() {
        let Some(message) = messages.get(&name) else { continue };
        if seen.insert(name) {
            next.extend(message.field.iter().map(|field| field.type_name().to_owned()));
        }
    }
    seen
}

fn named(package: &str, message: &str) -> String {
    format!(".{package}.{message}")
}
