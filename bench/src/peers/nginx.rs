//! nginx and fcgiwrap in front of `git http-backend`: what most people run.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Peer, free_port};
use crate::meter::Meter;
use crate::repositories::git;

/// Starts nginx with four fcgiwrap workers.
pub(crate) fn start(folder: &Path) -> Result<Peer> {
    let port = free_port()?;
    let home = folder.join("nginx");
    std::fs::create_dir(&home)?;
    let socket = home.join("fcgi.sock");
    let configuration = configuration(folder, &home, port)?;
    let file = home.join("nginx.conf");
    std::fs::write(&file, configuration).context("writing nginx's configuration")?;
    let mut wrap = Command::new("fcgiwrap");
    wrap.args(["-c", "4", "-s"]).arg(format!("unix:{}", socket.display()));
    let (wrap_meter, wrap) = Meter::start("fcgiwrap", &mut wrap, &home.join("fcgiwrap.log"))?;
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.arg("-c").arg(&file).arg("-p").arg(&home);
    let (meter, child) = Meter::start("nginx", &mut nginx, &home.join("nginx.log"))?;
    Ok(Peer {
        name: "nginx+http-backend",
        address: format!("127.0.0.1:{port}"),
        base: format!("http://127.0.0.1:{port}/"),
        path: "/".to_owned(),
        environment: Vec::new(),
        meters: vec![meter, wrap_meter],
        children: vec![child, wrap],
    })
}

fn configuration(folder: &Path, home: &Path, port: u16) -> Result<String> {
    let backend = format!("{}/git-http-backend", git(None, &["--exec-path"])?.trim());
    let (home, root) = (home.display(), folder.join("repositories").display().to_string());
    Ok(format!(
        "daemon off; user root; worker_processes 2; pid {home}/pid; error_log {home}/error.log;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log {home}/access.log; client_max_body_size 0; client_body_temp_path {home}/body;\n\
         fastcgi_temp_path {home}/fastcgi; keepalive_requests 1000000;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; tcp_nodelay on; location / {{\n\
         fastcgi_pass unix:{home}/fcgi.sock; fastcgi_buffering off; fastcgi_request_buffering off;\n\
         fastcgi_param SCRIPT_FILENAME {backend}; fastcgi_param PATH_INFO $uri;\n\
         fastcgi_param GIT_PROJECT_ROOT {root}; fastcgi_param GIT_HTTP_EXPORT_ALL 1;\n\
         fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;\n\
         fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;\n\
         fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding; fastcgi_param GIT_PROTOCOL $http_git_protocol;\n\
         fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param SERVER_PROTOCOL $server_protocol;\n\
         fastcgi_param GIT_CONFIG_COUNT 1; fastcgi_param GIT_CONFIG_KEY_0 safe.directory;\n\
         fastcgi_param GIT_CONFIG_VALUE_0 *; }} }} }}\n"
    ))
}
