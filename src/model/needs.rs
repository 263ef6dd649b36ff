//! What a container needs of its host, read off its configuration.

use super::HostConfig;

impl HostConfig {
    /// Names or ids of the containers whose network, PID or IPC namespace it lives in.
    pub fn namespaces_of(&self) -> impl Iterator<Item = &str> {
        [&self.network_mode, &self.pid_mode, &self.ipc_mode]
            .into_iter()
            .filter_map(|mode| mode.strip_prefix("container:"))
    }

    /// Names or ids of the containers whose volumes it mounts.
    pub fn volumes_of(&self) -> impl Iterator<Item = &str> {
        self.volumes_from.iter().filter_map(|from| from.split(':').next())
    }

    /// Fixed host ports that it publishes: address, port, protocol. Those that the Engine chooses are left out.
    pub fn host_ports(&self) -> impl Iterator<Item = (&str, u16, &str)> {
        self.port_bindings.iter().flat_map(|(port, hosts)| {
            let protocol = port.split('/').nth(1).unwrap_or("tcp");
            hosts.iter().flatten().filter_map(move |host| {
                let number = host.host_port.parse::<u16>().ok().filter(|number| *number != 0)?;
                Some((host.host_ip.as_str(), number, protocol))
            })
        })
    }

    /// Names or ids of the containers that must be there before it can be.
    pub fn stands_on(&self) -> impl Iterator<Item = &str> {
        self.namespaces_of().chain(self.volumes_of())
    }
}
