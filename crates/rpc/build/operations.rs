//! What is made of the services: a trait each, a type for each operation, and one list of all.

use prost_build::{Method, Service, ServiceGenerator};
use std::collections::BTreeSet;
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
    shape: Shape,
    pages: bool,
    /// What the proto says of it, on one line.
    about: String,
}

/// What goes over in parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Neither,
    Answer,
    Request,
}

impl Shape {
    fn of(method: &Method) -> Self {
        match (method.client_streaming, method.server_streaming) {
            (false, false) => Self::Neither,
            (false, true) => Self::Answer,
            (true, false) => Self::Request,
            (true, true) => panic!("{}: nothing carries requests and answers in parts", method.proto_name),
        }
    }

    /// Names the method of whoever carries or visits it.
    fn verb(self) -> &'static str {
        match self {
            Self::Neither => "unary",
            Self::Answer => "stream",
            Self::Request => "upload",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Neither => "UnaryRpc",
            Self::Answer => "StreamRpc",
            Self::Request => "UploadRpc",
        }
    }

    /// Writes the parameter behind the call.
    fn parameter(self, input: &str) -> String {
        match self {
            Self::Request => format!("request: crate::call::Requests<{input}>"),
            Self::Neither | Self::Answer => format!("request: {input}"),
        }
    }

    fn answer(self, output: &str) -> String {
        let shape = if self == Self::Answer { "Answers" } else { "Pending" };
        format!("crate::call::{shape}<{output}>")
    }
}

/// Writes Rust behind the messages.
pub(crate) struct Generator {
    /// Requests that carry a cursor, as protos name them.
    resumed: BTreeSet<String>,
    services: Vec<String>,
    operations: Vec<Operation>,
}

impl Generator {
    /// Operations that answer in parts and take one of these requests go on behind a cursor.
    pub(crate) fn new(resumed: BTreeSet<String>) -> Self {
        Self { resumed, services: Vec::new(), operations: Vec::new() }
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
                shape: Shape::of(method),
                pages: method.server_streaming && self.resumed.contains(&method.input_proto_type),
                about: method.comments.leading.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
            };
            type_of(&service, method, &operation, buf);
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

fn trait_of(service: &Service, buf: &mut String) {
    comments(&service.comments.leading, "", buf);
    let _ = writeln!(buf, "pub trait {}: Send + Sync {{", service.name);
    for method in &service.methods {
        comments(&method.comments.leading, "    ", buf);
        let (name, shape) = (&method.name, Shape::of(method));
        let _ = writeln!(
            buf,
            "    fn {name}(&self, call: crate::call::Call, {}) -> {};",
            shape.parameter(&method.input_type),
            shape.answer(&method.output_type)
        );
    }
    buf.push_str("}\n");
}

/// Whatever carries operations by their types answers the service.
fn transported(service: &Service, module: &str, buf: &mut String) {
    let _ = writeln!(buf, "impl<T: crate::operation::Transport> {} for T {{", service.name);
    for method in &service.methods {
        let (name, shape) = (&method.name, Shape::of(method));
        let _ = writeln!(
            buf,
            "    fn {name}(&self, call: crate::call::Call, {}) -> {} {{\n        \
             crate::operation::Transport::{}::<{module}::{}>(self, call, request)\n    }}",
            shape.parameter(&method.input_type),
            shape.answer(&method.output_type),
            shape.verb(),
            method.proto_name,
        );
    }
    buf.push_str("}\n");
}

fn type_of(service: &Service, method: &Method, operation: &Operation, buf: &mut String) {
    let (name, input, output) = (&method.proto_name, &method.input_type, &method.output_type);
    comments(&method.comments.leading, "    ", buf);
    let _ = writeln!(
        buf,
        "    #[derive(Debug)]\n    pub struct {name};\n    impl crate::operation::Rpc for {name} {{\n        \
         type Request = super::{input};\n        type Response = super::{output};\n        \
         const OPERATION: super::Operation = super::Operation::{};\n    }}",
        operation.variant
    );
    let shape = operation.shape;
    let _ = writeln!(
        buf,
        "    impl crate::operation::{} for {name} {{\n        \
         fn invoke(to: &dyn super::Operations, call: crate::call::Call, {}) -> {} {{\n            \
         super::{}::{}(to, call, request)\n        }}",
        shape.kind(),
        shape.parameter(&format!("super::{input}")),
        shape.answer(&format!("super::{output}")),
        service.name,
        method.name,
    );
    if operation.pages {
        let _ = writeln!(
            buf,
            "        fn cursor(response: &super::{output}) -> Option<&bytes::Bytes> {{ Some(&response.cursor) }}\n        \
             fn resume(request: &mut super::{input}, cursor: bytes::Bytes) {{ request.cursor = cursor; }}"
        );
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
        let _ = writeln!(
            buf,
            "            Self::{} => visitor.{}::<{}>(),",
            operation.variant,
            operation.shape.verb(),
            operation.rpc
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
        |of| (of.shape == Shape::Answer).to_string(),
        buf,
    );
    table(
        operations,
        "about",
        "&'static str",
        "Says what it does and which errors of its own it answers with, as the proto does.",
        |of| format!("{:?}", of.about),
        buf,
    );
    table(
        operations,
        "uploads",
        "bool",
        "Says whether it is asked in parts.",
        |of| (of.shape == Shape::Request).to_string(),
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
