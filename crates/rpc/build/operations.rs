//! What is made of the services: a trait each, a type for each operation, and one list of all.

use prost_build::{Method, Service, ServiceGenerator};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The methods of the idempotency level that a proto gives to operations that only read.
const NO_SIDE_EFFECTS: i32 = 1;

/// One operation, as the list at the end needs it.
struct Operation {
    /// `RefListBranches`
    variant: String,
    /// `ref_service::ListBranches`
    rpc: String,
    service: String,
    method: String,
    /// `ref.list_branches`
    key: String,
    path: String,
    reads: bool,
    streams: bool,
    pages: bool,
}

/// Writes Rust behind the messages.
pub(crate) struct Generator {
    /// Requests that carry a cursor, as protos name them.
    resumed: BTreeSet<String>,
    /// The fields of requests that say how much is wanted.
    limits: BTreeMap<String, String>,
    services: Vec<String>,
    operations: Vec<Operation>,
}

impl Generator {
    /// Operations that answer in parts and take one of these requests go on behind a cursor.
    pub(crate) fn new(resumed: BTreeSet<String>, limits: BTreeMap<String, String>) -> Self {
        Self { resumed, limits, services: Vec::new(), operations: Vec::new() }
    }
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, buf: &mut String) {
        let module = snake(&service.proto_name);
        trait_of(&service, buf);
        transported(&service, &module, buf);
        let _ = writeln!(buf, "/// The operations of [`{}`].\npub mod {module} {{", service.name);
        let prefix = service.proto_name.trim_end_matches("Service").to_owned();
        for method in &service.methods {
            let operation = Operation {
                variant: format!("{prefix}{}", method.proto_name),
                rpc: format!("{module}::{}", method.proto_name),
                service: snake(&prefix),
                method: method.name.clone(),
                key: format!("{}.{}", snake(&prefix), method.name),
                path: format!("/{}.{}/{}", service.package, service.proto_name, method.proto_name),
                reads: method.options.idempotency_level == Some(NO_SIDE_EFFECTS),
                streams: method.server_streaming,
                pages: method.server_streaming && self.resumed.contains(&method.input_proto_type),
            };
            let limit = self.limits.get(&method.input_proto_type);
            type_of(&service, method, &operation, limit, buf);
            self.operations.push(operation);
        }
        buf.push_str("}\n");
        self.services.push(service.name);
    }

    fn finalize_package(&mut self, _package: &str, buf: &mut String) {
        let all = self.services.join(" + ");
        let _ = writeln!(
            buf,
            "/// All services in one: what a client asks and a server answers.\npub trait Operations: {all} {{}}\n\
             impl<T: {all}> Operations for T {{}}"
        );
        list(&self.operations, buf);
    }
}

fn comments(lines: &[String], indent: &str, buf: &mut String) {
    for line in lines {
        let _ = writeln!(buf, "{indent}///{line}");
    }
}

fn answer(method: &Method, types: &str) -> String {
    let shape = if method.server_streaming { "Answers" } else { "Pending" };
    format!("crate::call::{shape}<{types}{}>", method.output_type)
}

fn trait_of(service: &Service, buf: &mut String) {
    comments(&service.comments.leading, "", buf);
    let _ = writeln!(buf, "pub trait {}: Send + Sync {{", service.name);
    for method in &service.methods {
        comments(&method.comments.leading, "    ", buf);
        let (name, input) = (&method.name, &method.input_type);
        let _ = writeln!(
            buf,
            "    fn {name}(&self, call: crate::call::Call, request: {input}) -> {};",
            answer(method, "")
        );
    }
    buf.push_str("}\n");
}

/// Whatever carries operations by their types answers the service.
fn transported(service: &Service, module: &str, buf: &mut String) {
    let _ = writeln!(buf, "impl<T: crate::operation::Transport> {} for T {{", service.name);
    for method in &service.methods {
        let (name, input) = (&method.name, &method.input_type);
        let carry = if method.server_streaming { "stream" } else { "unary" };
        let _ = writeln!(
            buf,
            "    fn {name}(&self, call: crate::call::Call, request: {input}) -> {} {{\n        \
             crate::operation::Transport::{carry}::<{module}::{}>(self, call, request)\n    }}",
            answer(method, ""),
            method.proto_name,
        );
    }
    buf.push_str("}\n");
}

fn type_of(
    service: &Service,
    method: &Method,
    operation: &Operation,
    limit: Option<&String>,
    buf: &mut String,
) {
    let (name, input, output) = (&method.proto_name, &method.input_type, &method.output_type);
    comments(&method.comments.leading, "    ", buf);
    let _ = writeln!(
        buf,
        "    #[derive(Debug)]\n    pub struct {name};\n    impl crate::operation::Rpc for {name} {{\n        \
         type Request = super::{input};\n        type Response = super::{output};\n        \
         const OPERATION: super::Operation = super::Operation::{};\n    }}",
        operation.variant
    );
    let shape = if method.server_streaming { "StreamRpc" } else { "UnaryRpc" };
    let _ = writeln!(
        buf,
        "    impl crate::operation::{shape} for {name} {{\n        \
         fn invoke(to: &dyn super::Operations, call: crate::call::Call, request: super::{input}) -> {} {{\n            \
         super::{}::{}(to, call, request)\n        }}",
        answer(method, "super::"),
        service.name,
        method.name,
    );
    if operation.pages {
        let _ = writeln!(
            buf,
            "        fn cursor(response: &super::{output}) -> Option<&bytes::Bytes> {{ Some(&response.cursor) }}\n        \
             fn resume(request: &mut super::{input}, cursor: bytes::Bytes) {{ request.cursor = cursor; }}"
        );
        if let Some(limit) = limit {
            let _ = writeln!(
                buf,
                "        fn is_limited(request: &super::{input}) -> bool {{ request.{limit} != 0 }}"
            );
        }
    }
    buf.push_str("    }\n");
}

/// Writes the enum of all operations and the one match over it.
fn list(operations: &[Operation], buf: &mut String) {
    buf.push_str(
        "/// Every operation of the contract.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
         pub enum Operation {\n",
    );
    for operation in operations {
        let _ = writeln!(buf, "    /// `{}`\n    {},", operation.key, operation.variant);
    }
    buf.push_str("}\nimpl Operation {\n    /// All of them.\n    pub const ALL: &[Self] = &[\n");
    for operation in operations {
        let _ = writeln!(buf, "        Self::{},", operation.variant);
    }
    buf.push_str("    ];\n");
    tables(operations, buf);
    buf.push_str(
        "    /// Calls a visitor with the type of this operation.\n    \
         pub fn visit<V: crate::operation::Visitor>(self, visitor: V) -> V::Output {\n        match self {\n",
    );
    for operation in operations {
        let shape = if operation.streams { "stream" } else { "unary" };
        let _ = writeln!(
            buf,
            "            Self::{} => visitor.{shape}::<{}>(),",
            operation.variant, operation.rpc
        );
    }
    buf.push_str("        }\n    }\n}\n");
}

/// Writes what each operation says of itself.
fn tables(operations: &[Operation], buf: &mut String) {
    table(
        operations,
        "service",
        "&'static str",
        "Names the service: `ref`.",
        |of| format!("{:?}", of.service),
        buf,
    );
    table(
        operations,
        "method",
        "&'static str",
        "Names it within its service: `list_branches`.",
        |of| format!("{:?}", of.method),
        buf,
    );
    table(
        operations,
        "key",
        "&'static str",
        "Names it: `ref.list_branches`.",
        |of| format!("{:?}", of.key),
        buf,
    );
    table(operations, "path", "&'static str", "Names it as gRPC does.", |of| format!("{:?}", of.path), buf);
    table(operations, "reads", "bool", "Says whether it changes nothing.", |of| of.reads.to_string(), buf);
    table(
        operations,
        "streams",
        "bool",
        "Says whether it answers in parts.",
        |of| of.streams.to_string(),
        buf,
    );
    table(
        operations,
        "pages",
        "bool",
        "Says whether its parts carry cursors, behind which it goes on.",
        |of| of.pages.to_string(),
        buf,
    );
}

fn table(
    operations: &[Operation],
    name: &str,
    of: &str,
    comment: &str,
    value: impl Fn(&Operation) -> String,
    buf: &mut String,
) {
    let _ =
        writeln!(buf, "    /// {comment}\n    pub const fn {name}(self) -> {of} {{\n        match self {{");
    for operation in operations {
        let _ = writeln!(buf, "            Self::{} => {},", operation.variant, value(operation));
    }
    buf.push_str("        }\n    }\n");
}

/// `RefService` → `ref_service`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
