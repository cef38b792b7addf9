# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_dhow_global_optspecs
    string join \n config= c/context= D/debug H/host= l/log-level= tls tlscacert= tlscert= tlskey= tlsverify v/version h/help
end

function __fish_dhow_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_dhow_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_dhow_using_subcommand
    set -l cmd (__fish_dhow_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c dhow -n "__fish_dhow_needs_command" -l config -d 'Directory of docker\'s client configuration (credentials, detach keys)' -r -F
complete -c dhow -n "__fish_dhow_needs_command" -s c -l context -d 'Context of docker\'s that names this engine, as `default` does; others are refused' -r
complete -c dhow -n "__fish_dhow_needs_command" -s H -l host -d 'Address of docker\'s that means this engine, as unix:///var/run/docker.sock does; others are refused' -r
complete -c dhow -n "__fish_dhow_needs_command" -s l -l log-level -d 'How much to say: debug, info, warn, error, fatal' -r
complete -c dhow -n "__fish_dhow_needs_command" -l tlscacert -d 'Not possible: there is no connection to protect' -r
complete -c dhow -n "__fish_dhow_needs_command" -l tlscert -d 'Not possible: there is no connection to protect' -r
complete -c dhow -n "__fish_dhow_needs_command" -l tlskey -d 'Not possible: there is no connection to protect' -r
complete -c dhow -n "__fish_dhow_needs_command" -s D -l debug -d 'Show each cause of an error on a line of its own'
complete -c dhow -n "__fish_dhow_needs_command" -l tls -d 'Not possible: there is no connection to protect'
complete -c dhow -n "__fish_dhow_needs_command" -l tlsverify -d 'Not possible: there is no connection to protect'
complete -c dhow -n "__fish_dhow_needs_command" -s v -l version -d 'Print the version and stop'
complete -c dhow -n "__fish_dhow_needs_command" -s h -l help -d 'Show help and stop'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "bake" -d 'Build what files of targets describe (HCL, JSON, compose)'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "attach" -d 'Attach input and output to a container that runs'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "commit" -d 'Make an image of a container\'s changes on top of its image'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "cp" -d 'Copy files into a container, or out of one; - is a tar archive on standard input or output'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "create" -d 'Make a container from an image without starting it'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "diff" -d 'List the files and directories that a container added (A), changed (C) or deleted (D)'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "exec" -d 'Run a command in a running container'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "export" -d 'Write a container\'s file system, without its volumes, to a tar archive'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "kill" -d 'Kill containers, or send them another signal'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "logs" -d 'Show what a container has written'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "ps" -d 'List containers, by default those that run'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "pause" -d 'Hold all processes of containers'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "port" -d 'Show which ports of a container are published'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "rename" -d 'Give a container another name'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "restart" -d 'End containers and start them again'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "rm" -d 'Remove containers'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "run" -d 'Make a container from an image and run a command in it'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "start" -d 'Start containers that do not run'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "stats" -d 'Show what containers use of the machine'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "stop" -d 'End containers that run, by force if they do not react'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "top" -d 'Show the processes of a running container'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "unpause" -d 'Let the processes of containers go on'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "update" -d 'Change limits and restart policies of containers'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "container" -d 'Containers'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "wait" -d 'Wait until containers end, and print their exit codes'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "context" -d 'docker\'s names for engines, of which only this one is used'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "build" -d 'Build an image from a Dockerfile'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "builder" -d 'Builds'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "buildx" -d 'Builds, with docker\'s extended commands for them'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "history" -d 'Show how the layers of an image came to be'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "import" -d 'Make an image of one layer from an archive of a file system'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "load" -d 'Load images from an archive that `save`, docker, podman or skopeo wrote'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "images" -d 'List images'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "pull" -d 'Download an image from a registry'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "push" -d 'Upload an image to a registry'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "rmi" -d 'Remove images'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "save" -d 'Write images to an archive that docker, podman and skopeo read'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "image" -d 'Images'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "tag" -d 'Give an image another name'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "manifest" -d 'Lists of images for several platforms on registries'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "network" -d 'Networks'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "login" -d 'Log in to a registry, Docker Hub by default'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "logout" -d 'Log out from a registry, Docker Hub by default'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "completion" -d 'Print the completion script of a shell'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "events" -d 'Show what happens to containers, images and volumes'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "info" -d 'Show what dhow found on this machine, and what is missing'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "inspect" -d 'Show everything about containers, images, networks and volumes'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "system" -d 'The engine and its data'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "version" -d 'Show the version and what it is compatible with'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "volume" -d 'Volumes'
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l allow -d 'Allow what needs more rights: network.host, security.insecure' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l builder -d 'Builder, one of `buildx ls`: they are all the same' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l call -d 'Instead of building: check, outline or targets, with `,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -s f -l file -d 'File of targets, or - for standard input' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l list -d 'List `targets` or `variables` and stop; `type=targets,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l metadata-file -d 'Write what came out into this file, as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l no-cache -d 'Carry every step out anew' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l progress -d 'How to show what goes on: auto, plain, tty, quiet, rawjson' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l provenance -d 'Provenance attestation: false, true, or attributes such as mode=max' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l pull -d 'Ask the registry for base images that are here already' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l sbom -d 'Attestation of what is in the image: false, true, or attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l set -d 'Change targets, TARGET.KEY=VALUE, where TARGET may be a pattern' -r
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l check -d 'The same as --call=check'
complete -c dhow -n "__fish_dhow_using_subcommand bake" -s D -l debug -d 'Explain warnings, and show each cause of an error'
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l list-targets -d 'What --list=targets was called'
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l list-variables -d 'What --list=variables was called'
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l load -d 'Put images into the store, also where another output is asked for'
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l print -d 'Print the targets as they come to be, and stop'
complete -c dhow -n "__fish_dhow_using_subcommand bake" -l push -d 'Push images'
complete -c dhow -n "__fish_dhow_using_subcommand bake" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand attach" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand attach" -l no-stdin -d 'Attach the output only'
complete -c dhow -n "__fish_dhow_using_subcommand attach" -l sig-proxy -d 'Pass signals on to the process'
complete -c dhow -n "__fish_dhow_using_subcommand attach" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand commit" -s a -l author -d 'Remember who made it' -r
complete -c dhow -n "__fish_dhow_using_subcommand commit" -s c -l change -d 'Apply this Dockerfile instruction to the image\'s configuration' -r
complete -c dhow -n "__fish_dhow_using_subcommand commit" -s m -l message -d 'Remember this text as the image\'s comment' -r
complete -c dhow -n "__fish_dhow_using_subcommand commit" -s p -l pause -d 'Stop the container\'s processes meanwhile'
complete -c dhow -n "__fish_dhow_using_subcommand commit" -l no-pause -d 'Let the container\'s processes go on meanwhile'
complete -c dhow -n "__fish_dhow_using_subcommand commit" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand cp" -s q -l quiet -d 'Do not say what was copied; that is the case without a terminal anyway' -r -f -a "true\t''
false\t''"
complete -c dhow -n "__fish_dhow_using_subcommand cp" -s a -l archive -d 'Keep the owners of what is copied into a container, which is root\'s otherwise'
complete -c dhow -n "__fish_dhow_using_subcommand cp" -s L -l follow-link -d 'Follow a symbolic link in SRC_PATH'
complete -c dhow -n "__fish_dhow_using_subcommand cp" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand create" -l name -d 'Name of the container; one is made up otherwise' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s h -l hostname -d 'Host name inside; by default the beginning of the container\'s ID' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l domainname -d 'NIS domain name inside' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s l -l label -d 'Label, NAME=VALUE or NAME' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l label-file -d 'File with a label on each line; a name alone has its value from the environment, if it is set there' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l annotation -d 'Annotation, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cidfile -d 'Write the container\'s ID to this new file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand create" -l stop-signal -d 'Signal that asks the container to stop' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l stop-timeout -d 'Seconds to wait for that before killing' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l restart -d 'When to start it again: `no`, `on-failure[:MAX]`, `always`, `unless-stopped`' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l health-cmd -d 'Command that checks its health' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l health-interval -d 'Time between checks' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l health-retries -d 'Failures in a row that make it unhealthy' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l health-start-interval -d 'Time between checks while it starts up' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l health-start-period -d 'Time for it to start up, in which failures do not count' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l health-timeout -d 'Time that a check may take' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l log-driver -d 'Where its output is kept: `json-file`, `local`, `journald`, `none`' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l log-opt -d 'Option of the log driver, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s a -l attach -d 'Attach to stdin, stdout or stderr' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l entrypoint -d 'Program to run in place of the image\'s; an empty one takes it away' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s e -l env -d 'Environment variable, NAME=VALUE, or NAME to pass it on' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l env-file -d 'File with an environment variable on each line' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l group-add -d 'Further group, by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s u -l user -d 'User and optionally group, USER[:GROUP], by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s w -l workdir -d 'Directory to start in' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l ulimit -d 'Limit of each process, NAME=SOFT[:HARD]' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l oom-score-adj -d 'Preference of the kernel when memory runs out, -1000 to 1000' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s v -l volume -d 'Mount [SOURCE:]TARGET[:OPTIONS]; SOURCE is an absolute path of the host or a volume\'s name' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l mount -d 'Mount by keys: type=bind|volume|tmpfs,source=…,target=…[,readonly]' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l tmpfs -d 'File system in memory, TARGET[:OPTIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l volumes-from -d 'Take over the mounts of another container, CONTAINER[:ro|rw]' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l volume-driver -d 'The driver of volumes: `local`' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l device -d 'Offer a device of the host, HOST[:CONTAINER][:PERMISSIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l rootfs -d 'Use this directory of the host as root file system in place of an image' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand create" -l shm-size -d 'Size of /dev/shm (64m by default)' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cap-add -d 'Add a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cap-drop -d 'Drop a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l security-opt -d 'seccomp=FILE|unconfined, no-new-privileges, apparmor=…, label=…, systempaths=unconfined, writable-cgroups' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l sysctl -d 'Kernel setting of the container\'s own namespaces, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l pid -d 'Process table: host or container:NAME shares theirs' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l ipc -d 'IPC namespace: private, shareable, container:NAME, none or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l uts -d 'Host name: `host` shares the host\'s' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cgroupns -d 'Cgroup namespace: private or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l userns -d 'Map of users: host, keep-id[:uid=N,gid=N], auto or nomap' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l network -l net -d 'Network: a name, none, host or container:NAME; or name=NAME,alias=…,ip=…,ip6=…,mac-address=…,gw-priority=…' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l network-alias -d 'Further name of the container on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l ip -d 'IPv4 address on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l ip6 -d 'IPv6 address on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l link-local-ip -d 'Address of the link-local range, beside its own' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l mac-address -d 'Hardware address, 02:42:…' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l link -d 'Another container, under a name that only this one knows, CONTAINER[:NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s p -l publish -d 'Publish a port, [[IP:][HOST[-HOST]]:]PORT[-PORT][/PROTOCOL]' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l egress-log -d 'Write down what the container asks for and reaches, appended to this file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand create" -l expose -d 'A port that the container says it listens on, PORT[-PORT][/PROTOCOL]' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l add-host -d 'Add NAME:ADDRESS to /etc/hosts' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l dns -d 'Name server' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l dns-option -d 'Option of the resolver' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l dns-search -d 'Domain in which names are searched' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l blkio-weight -d 'Weight of disk access against others, 10 to 1000, or 0 for none' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cpu-period -d 'Microseconds of a period of the processor scheduler' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cpu-quota -d 'Microseconds of processor time in each period' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cpu-rt-period -d 'Period of real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cpu-rt-runtime -d 'Processor time for real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s c -l cpu-shares -d 'Weight of processor time against others, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cpus -d 'Number of processors, with a fraction' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cpuset-cpus -d 'Processors that may be used, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cpuset-mems -d 'Memory nodes that may be used, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l kernel-memory -d 'Memory of the kernel: control groups of version 2 count it with the rest' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -s m -l memory -d 'Memory' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l memory-reservation -d 'Memory that is left to the container when memory gets scarce' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l memory-swap -d 'Memory and swap space together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l pids-limit -d 'Number of processes and threads, or -1 for no limit' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l blkio-weight-device -d 'Weight of access to one disk, PATH:WEIGHT' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cgroup-parent -d 'Slice of systemd, or directory of delegated control groups, to put the container\'s own below' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cpu-count -d 'Processors: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l cpu-percent -d 'Share of the processors: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l device-cgroup-rule -d 'Rule for a group of devices: only root can set one' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l device-read-bps -d 'Bytes read from a device each second, PATH:SIZE' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l device-read-iops -d 'Reads of a device each second, PATH:NUMBER' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l device-write-bps -d 'Bytes written to a device each second, PATH:SIZE' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l device-write-iops -d 'Writes to a device each second, PATH:NUMBER' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l io-maxbandwidth -d 'Rate of disk access: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l io-maxiops -d 'Number of disk accesses: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l memory-swappiness -d 'Readiness to swap: control groups of version 2 have none of their own' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l gpus -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l isolation -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l runtime -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l storage-opt -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l pull -d 'Ask the registry `always`, for what is `missing`, or `never`' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l platform -d 'Take the image for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand create" -l rm -d 'Remove the container and its anonymous volumes when it ends'
complete -c dhow -n "__fish_dhow_using_subcommand create" -l init -d 'Run a small init as process 1 that forwards signals and reaps'
complete -c dhow -n "__fish_dhow_using_subcommand create" -l disable-content-trust -d 'Verify signatures of the image: not possible, so only the default (do not) is accepted'
complete -c dhow -n "__fish_dhow_using_subcommand create" -l no-healthcheck -d 'Ignore the image\'s health check'
complete -c dhow -n "__fish_dhow_using_subcommand create" -s i -l interactive -d 'Keep the standard input open'
complete -c dhow -n "__fish_dhow_using_subcommand create" -s t -l tty -d 'Give the process a terminal'
complete -c dhow -n "__fish_dhow_using_subcommand create" -l read-only -d 'Mount the root file system read-only'
complete -c dhow -n "__fish_dhow_using_subcommand create" -l privileged -d 'All capabilities, no filter of system calls, nothing masked: as much as the user may give away'
complete -c dhow -n "__fish_dhow_using_subcommand create" -s P -l publish-all -d 'Publish all exposed ports, to any that are free'
complete -c dhow -n "__fish_dhow_using_subcommand create" -l oom-kill-disable -d 'Do not kill when memory runs out: control groups of version 2 cannot'
complete -c dhow -n "__fish_dhow_using_subcommand create" -l use-api-socket -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand create" -s q -l quiet -d 'Do not show the progress of a pull'
complete -c dhow -n "__fish_dhow_using_subcommand create" -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand diff" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand exec" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand exec" -s e -l env -d 'Environment variable, NAME=VALUE, or NAME to pass it on' -r
complete -c dhow -n "__fish_dhow_using_subcommand exec" -l env-file -d 'File with an environment variable on each line' -r
complete -c dhow -n "__fish_dhow_using_subcommand exec" -s u -l user -d 'User and optionally group, USER[:GROUP], by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand exec" -s w -l workdir -d 'Directory to start in' -r
complete -c dhow -n "__fish_dhow_using_subcommand exec" -s d -l detach -d 'Let the command go on alone'
complete -c dhow -n "__fish_dhow_using_subcommand exec" -s i -l interactive -d 'Keep the standard input open'
complete -c dhow -n "__fish_dhow_using_subcommand exec" -l privileged -d 'Give the command all capabilities and no system call filter'
complete -c dhow -n "__fish_dhow_using_subcommand exec" -s t -l tty -d 'Give the command a terminal'
complete -c dhow -n "__fish_dhow_using_subcommand exec" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand export" -s o -l output -d 'Write this file instead of standard output; it appears when it is complete' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand export" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand kill" -s s -l signal -d 'Signal to send' -r
complete -c dhow -n "__fish_dhow_using_subcommand kill" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand logs" -l since -d 'Only from this time on, or from so long ago' -r
complete -c dhow -n "__fish_dhow_using_subcommand logs" -s n -l tail -d 'Only so many lines from the end' -r
complete -c dhow -n "__fish_dhow_using_subcommand logs" -l until -d 'Only up to this time, or to so long ago' -r
complete -c dhow -n "__fish_dhow_using_subcommand logs" -l details -d 'Show the labels and variables that the log was told to keep too'
complete -c dhow -n "__fish_dhow_using_subcommand logs" -s f -l follow -d 'Go on until the container ends'
complete -c dhow -n "__fish_dhow_using_subcommand logs" -s t -l timestamps -d 'Show the time of each line'
complete -c dhow -n "__fish_dhow_using_subcommand logs" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s f -l filter -d 'Only those for which KEY=VALUE holds: ancestor, before, exited, expose, health, id, is-task, label, name, network, publish, since, status, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand ps" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s n -l last -d 'The last so many, whatever their state' -r
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s l -l latest -d 'The newest, whatever its state'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s s -l size -d 'Sizes of what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand pause" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand port" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand rename" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand restart" -s s -l signal -d 'Signal to begin with, in place of the container\'s own' -r
complete -c dhow -n "__fish_dhow_using_subcommand restart" -s t -l timeout -d 'Seconds to wait before killing; -1 waits without end' -r
complete -c dhow -n "__fish_dhow_using_subcommand restart" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand rm" -s f -l force -d 'Kill a container that runs'
complete -c dhow -n "__fish_dhow_using_subcommand rm" -s l -l link -d 'Remove a link between containers: not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand rm" -s v -l volumes -d 'Remove the anonymous volumes too'
complete -c dhow -n "__fish_dhow_using_subcommand rm" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l name -d 'Name of the container; one is made up otherwise' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s h -l hostname -d 'Host name inside; by default the beginning of the container\'s ID' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l domainname -d 'NIS domain name inside' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s l -l label -d 'Label, NAME=VALUE or NAME' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l label-file -d 'File with a label on each line; a name alone has its value from the environment, if it is set there' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l annotation -d 'Annotation, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cidfile -d 'Write the container\'s ID to this new file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand run" -l stop-signal -d 'Signal that asks the container to stop' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l stop-timeout -d 'Seconds to wait for that before killing' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l restart -d 'When to start it again: `no`, `on-failure[:MAX]`, `always`, `unless-stopped`' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-cmd -d 'Command that checks its health' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-interval -d 'Time between checks' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-retries -d 'Failures in a row that make it unhealthy' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-start-interval -d 'Time between checks while it starts up' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-start-period -d 'Time for it to start up, in which failures do not count' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-timeout -d 'Time that a check may take' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l log-driver -d 'Where its output is kept: `json-file`, `local`, `journald`, `none`' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l log-opt -d 'Option of the log driver, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s a -l attach -d 'Attach to stdin, stdout or stderr' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l entrypoint -d 'Program to run in place of the image\'s; an empty one takes it away' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s e -l env -d 'Environment variable, NAME=VALUE, or NAME to pass it on' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l env-file -d 'File with an environment variable on each line' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l group-add -d 'Further group, by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s u -l user -d 'User and optionally group, USER[:GROUP], by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s w -l workdir -d 'Directory to start in' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l ulimit -d 'Limit of each process, NAME=SOFT[:HARD]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l oom-score-adj -d 'Preference of the kernel when memory runs out, -1000 to 1000' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s v -l volume -d 'Mount [SOURCE:]TARGET[:OPTIONS]; SOURCE is an absolute path of the host or a volume\'s name' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l mount -d 'Mount by keys: type=bind|volume|tmpfs,source=…,target=…[,readonly]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l tmpfs -d 'File system in memory, TARGET[:OPTIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l volumes-from -d 'Take over the mounts of another container, CONTAINER[:ro|rw]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l volume-driver -d 'The driver of volumes: `local`' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device -d 'Offer a device of the host, HOST[:CONTAINER][:PERMISSIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l rootfs -d 'Use this directory of the host as root file system in place of an image' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand run" -l shm-size -d 'Size of /dev/shm (64m by default)' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cap-add -d 'Add a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cap-drop -d 'Drop a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l security-opt -d 'seccomp=FILE|unconfined, no-new-privileges, apparmor=…, label=…, systempaths=unconfined, writable-cgroups' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l sysctl -d 'Kernel setting of the container\'s own namespaces, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l pid -d 'Process table: host or container:NAME shares theirs' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l ipc -d 'IPC namespace: private, shareable, container:NAME, none or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l uts -d 'Host name: `host` shares the host\'s' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cgroupns -d 'Cgroup namespace: private or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l userns -d 'Map of users: host, keep-id[:uid=N,gid=N], auto or nomap' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l network -l net -d 'Network: a name, none, host or container:NAME; or name=NAME,alias=…,ip=…,ip6=…,mac-address=…,gw-priority=…' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l network-alias -d 'Further name of the container on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l ip -d 'IPv4 address on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l ip6 -d 'IPv6 address on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l link-local-ip -d 'Address of the link-local range, beside its own' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l mac-address -d 'Hardware address, 02:42:…' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l link -d 'Another container, under a name that only this one knows, CONTAINER[:NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s p -l publish -d 'Publish a port, [[IP:][HOST[-HOST]]:]PORT[-PORT][/PROTOCOL]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l egress-log -d 'Write down what the container asks for and reaches, appended to this file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand run" -l expose -d 'A port that the container says it listens on, PORT[-PORT][/PROTOCOL]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l add-host -d 'Add NAME:ADDRESS to /etc/hosts' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l dns -d 'Name server' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l dns-option -d 'Option of the resolver' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l dns-search -d 'Domain in which names are searched' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l blkio-weight -d 'Weight of disk access against others, 10 to 1000, or 0 for none' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-period -d 'Microseconds of a period of the processor scheduler' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-quota -d 'Microseconds of processor time in each period' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-rt-period -d 'Period of real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-rt-runtime -d 'Processor time for real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s c -l cpu-shares -d 'Weight of processor time against others, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpus -d 'Number of processors, with a fraction' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpuset-cpus -d 'Processors that may be used, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpuset-mems -d 'Memory nodes that may be used, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l kernel-memory -d 'Memory of the kernel: control groups of version 2 count it with the rest' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s m -l memory -d 'Memory' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l memory-reservation -d 'Memory that is left to the container when memory gets scarce' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l memory-swap -d 'Memory and swap space together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l pids-limit -d 'Number of processes and threads, or -1 for no limit' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l blkio-weight-device -d 'Weight of access to one disk, PATH:WEIGHT' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cgroup-parent -d 'Slice of systemd, or directory of delegated control groups, to put the container\'s own below' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-count -d 'Processors: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-percent -d 'Share of the processors: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-cgroup-rule -d 'Rule for a group of devices: only root can set one' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-read-bps -d 'Bytes read from a device each second, PATH:SIZE' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-read-iops -d 'Reads of a device each second, PATH:NUMBER' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-write-bps -d 'Bytes written to a device each second, PATH:SIZE' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-write-iops -d 'Writes to a device each second, PATH:NUMBER' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l io-maxbandwidth -d 'Rate of disk access: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l io-maxiops -d 'Number of disk accesses: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l memory-swappiness -d 'Readiness to swap: control groups of version 2 have none of their own' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l gpus -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l isolation -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l runtime -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l storage-opt -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l pull -d 'Ask the registry `always`, for what is `missing`, or `never`' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l platform -d 'Take the image for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l rm -d 'Remove the container and its anonymous volumes when it ends'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l init -d 'Run a small init as process 1 that forwards signals and reaps'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l disable-content-trust -d 'Verify signatures of the image: not possible, so only the default (do not) is accepted'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l no-healthcheck -d 'Ignore the image\'s health check'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s i -l interactive -d 'Keep the standard input open'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s t -l tty -d 'Give the process a terminal'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l read-only -d 'Mount the root file system read-only'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l privileged -d 'All capabilities, no filter of system calls, nothing masked: as much as the user may give away'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s P -l publish-all -d 'Publish all exposed ports, to any that are free'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l oom-kill-disable -d 'Do not kill when memory runs out: control groups of version 2 cannot'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l use-api-socket -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s q -l quiet -d 'Do not show the progress of a pull'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s d -l detach -d 'Leave it running in the background and print its ID'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l sig-proxy -d 'Pass signals on to the process'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand start" -l checkpoint -d 'Restore from a checkpoint: not possible' -r
complete -c dhow -n "__fish_dhow_using_subcommand start" -l checkpoint-dir -d 'Where checkpoints are: not possible' -r
complete -c dhow -n "__fish_dhow_using_subcommand start" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand start" -s a -l attach -d 'Attach the output and pass signals on'
complete -c dhow -n "__fish_dhow_using_subcommand start" -s i -l interactive -d 'Attach the input too'
complete -c dhow -n "__fish_dhow_using_subcommand start" -l sig-proxy -d 'Pass signals on to the process while attached'
complete -c dhow -n "__fish_dhow_using_subcommand start" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand stats" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand stats" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand stats" -l no-stream -d 'Show once and end'
complete -c dhow -n "__fish_dhow_using_subcommand stats" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand stats" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand stop" -s s -l signal -d 'Signal to begin with, in place of the container\'s own' -r
complete -c dhow -n "__fish_dhow_using_subcommand stop" -s t -l timeout -d 'Seconds to wait before killing; -1 waits without end' -r
complete -c dhow -n "__fish_dhow_using_subcommand stop" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand top" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand unpause" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand update" -l blkio-weight -d 'Weight of disk access against others, 10 to 1000, or 0 for none' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l cpu-period -d 'Microseconds of a period of the processor scheduler' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l cpu-quota -d 'Microseconds of processor time in each period' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l cpu-rt-period -d 'Period of real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l cpu-rt-runtime -d 'Processor time for real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -s c -l cpu-shares -d 'Weight of processor time against others, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l cpus -d 'Number of processors, with a fraction' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l cpuset-cpus -d 'Processors that may be used, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l cpuset-mems -d 'Memory nodes that may be used, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l kernel-memory -d 'Memory of the kernel: control groups of version 2 count it with the rest' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -s m -l memory -d 'Memory' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l memory-reservation -d 'Memory that is left to the container when memory gets scarce' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l memory-swap -d 'Memory and swap space together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l pids-limit -d 'Number of processes and threads, or -1 for no limit' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -l restart -d 'When to start it again: no, on-failure[:MAX], always or unless-stopped' -r
complete -c dhow -n "__fish_dhow_using_subcommand update" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "attach" -d 'Attach input and output to a container that runs'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "commit" -d 'Make an image of a container\'s changes on top of its image'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "cp" -d 'Copy files into a container, or out of one; - is a tar archive on standard input or output'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "create" -d 'Make a container from an image without starting it'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "diff" -d 'List the files and directories that a container added (A), changed (C) or deleted (D)'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "exec" -d 'Run a command in a running container'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "export" -d 'Write a container\'s file system, without its volumes, to a tar archive'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "inspect" -d 'Show everything about containers'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "kill" -d 'Kill containers, or send them another signal'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "logs" -d 'Show what a container has written'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "ls" -d 'List containers, by default those that run'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "list" -d 'List containers, by default those that run'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "ps" -d 'List containers, by default those that run'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "pause" -d 'Hold all processes of containers'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "port" -d 'Show which ports of a container are published'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "prune" -d 'Remove all containers that do not run'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "rename" -d 'Give a container another name'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "restart" -d 'End containers and start them again'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "rm" -d 'Remove containers'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "remove" -d 'Remove containers'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "run" -d 'Make a container from an image and run a command in it'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "start" -d 'Start containers that do not run'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "stats" -d 'Show what containers use of the machine'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "stop" -d 'End containers that run, by force if they do not react'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "top" -d 'Show the processes of a running container'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "unpause" -d 'Let the processes of containers go on'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "update" -d 'Change limits and restart policies of containers'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from attach commit cp create diff exec export inspect kill logs ls list ps pause port prune rename restart rm remove run start stats stop top unpause update wait" -f -a "wait" -d 'Wait until containers end, and print their exit codes'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from attach" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from attach" -l no-stdin -d 'Attach the output only'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from attach" -l sig-proxy -d 'Pass signals on to the process'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from attach" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from commit" -s a -l author -d 'Remember who made it' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from commit" -s c -l change -d 'Apply this Dockerfile instruction to the image\'s configuration' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from commit" -s m -l message -d 'Remember this text as the image\'s comment' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from commit" -s p -l pause -d 'Stop the container\'s processes meanwhile'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from commit" -l no-pause -d 'Let the container\'s processes go on meanwhile'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from commit" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from cp" -s q -l quiet -d 'Do not say what was copied; that is the case without a terminal anyway' -r -f -a "true\t''
false\t''"
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from cp" -s a -l archive -d 'Keep the owners of what is copied into a container, which is root\'s otherwise'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from cp" -s L -l follow-link -d 'Follow a symbolic link in SRC_PATH'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from cp" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l name -d 'Name of the container; one is made up otherwise' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s h -l hostname -d 'Host name inside; by default the beginning of the container\'s ID' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l domainname -d 'NIS domain name inside' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s l -l label -d 'Label, NAME=VALUE or NAME' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l label-file -d 'File with a label on each line; a name alone has its value from the environment, if it is set there' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l annotation -d 'Annotation, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cidfile -d 'Write the container\'s ID to this new file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l stop-signal -d 'Signal that asks the container to stop' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l stop-timeout -d 'Seconds to wait for that before killing' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l restart -d 'When to start it again: `no`, `on-failure[:MAX]`, `always`, `unless-stopped`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l health-cmd -d 'Command that checks its health' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l health-interval -d 'Time between checks' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l health-retries -d 'Failures in a row that make it unhealthy' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l health-start-interval -d 'Time between checks while it starts up' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l health-start-period -d 'Time for it to start up, in which failures do not count' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l health-timeout -d 'Time that a check may take' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l log-driver -d 'Where its output is kept: `json-file`, `local`, `journald`, `none`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l log-opt -d 'Option of the log driver, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s a -l attach -d 'Attach to stdin, stdout or stderr' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l entrypoint -d 'Program to run in place of the image\'s; an empty one takes it away' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s e -l env -d 'Environment variable, NAME=VALUE, or NAME to pass it on' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l env-file -d 'File with an environment variable on each line' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l group-add -d 'Further group, by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s u -l user -d 'User and optionally group, USER[:GROUP], by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s w -l workdir -d 'Directory to start in' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l ulimit -d 'Limit of each process, NAME=SOFT[:HARD]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l oom-score-adj -d 'Preference of the kernel when memory runs out, -1000 to 1000' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s v -l volume -d 'Mount [SOURCE:]TARGET[:OPTIONS]; SOURCE is an absolute path of the host or a volume\'s name' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l mount -d 'Mount by keys: type=bind|volume|tmpfs,source=…,target=…[,readonly]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l tmpfs -d 'File system in memory, TARGET[:OPTIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l volumes-from -d 'Take over the mounts of another container, CONTAINER[:ro|rw]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l volume-driver -d 'The driver of volumes: `local`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l device -d 'Offer a device of the host, HOST[:CONTAINER][:PERMISSIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l rootfs -d 'Use this directory of the host as root file system in place of an image' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l shm-size -d 'Size of /dev/shm (64m by default)' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cap-add -d 'Add a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cap-drop -d 'Drop a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l security-opt -d 'seccomp=FILE|unconfined, no-new-privileges, apparmor=…, label=…, systempaths=unconfined, writable-cgroups' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l sysctl -d 'Kernel setting of the container\'s own namespaces, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l pid -d 'Process table: host or container:NAME shares theirs' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l ipc -d 'IPC namespace: private, shareable, container:NAME, none or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l uts -d 'Host name: `host` shares the host\'s' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cgroupns -d 'Cgroup namespace: private or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l userns -d 'Map of users: host, keep-id[:uid=N,gid=N], auto or nomap' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l network -l net -d 'Network: a name, none, host or container:NAME; or name=NAME,alias=…,ip=…,ip6=…,mac-address=…,gw-priority=…' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l network-alias -d 'Further name of the container on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l ip -d 'IPv4 address on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l ip6 -d 'IPv6 address on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l link-local-ip -d 'Address of the link-local range, beside its own' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l mac-address -d 'Hardware address, 02:42:…' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l link -d 'Another container, under a name that only this one knows, CONTAINER[:NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s p -l publish -d 'Publish a port, [[IP:][HOST[-HOST]]:]PORT[-PORT][/PROTOCOL]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l egress-log -d 'Write down what the container asks for and reaches, appended to this file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l expose -d 'A port that the container says it listens on, PORT[-PORT][/PROTOCOL]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l add-host -d 'Add NAME:ADDRESS to /etc/hosts' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l dns -d 'Name server' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l dns-option -d 'Option of the resolver' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l dns-search -d 'Domain in which names are searched' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l blkio-weight -d 'Weight of disk access against others, 10 to 1000, or 0 for none' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cpu-period -d 'Microseconds of a period of the processor scheduler' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cpu-quota -d 'Microseconds of processor time in each period' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cpu-rt-period -d 'Period of real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cpu-rt-runtime -d 'Processor time for real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s c -l cpu-shares -d 'Weight of processor time against others, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cpus -d 'Number of processors, with a fraction' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cpuset-cpus -d 'Processors that may be used, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cpuset-mems -d 'Memory nodes that may be used, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l kernel-memory -d 'Memory of the kernel: control groups of version 2 count it with the rest' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s m -l memory -d 'Memory' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l memory-reservation -d 'Memory that is left to the container when memory gets scarce' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l memory-swap -d 'Memory and swap space together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l pids-limit -d 'Number of processes and threads, or -1 for no limit' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l blkio-weight-device -d 'Weight of access to one disk, PATH:WEIGHT' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cgroup-parent -d 'Slice of systemd, or directory of delegated control groups, to put the container\'s own below' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cpu-count -d 'Processors: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l cpu-percent -d 'Share of the processors: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l device-cgroup-rule -d 'Rule for a group of devices: only root can set one' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l device-read-bps -d 'Bytes read from a device each second, PATH:SIZE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l device-read-iops -d 'Reads of a device each second, PATH:NUMBER' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l device-write-bps -d 'Bytes written to a device each second, PATH:SIZE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l device-write-iops -d 'Writes to a device each second, PATH:NUMBER' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l io-maxbandwidth -d 'Rate of disk access: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l io-maxiops -d 'Number of disk accesses: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l memory-swappiness -d 'Readiness to swap: control groups of version 2 have none of their own' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l gpus -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l isolation -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l runtime -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l storage-opt -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l pull -d 'Ask the registry `always`, for what is `missing`, or `never`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l platform -d 'Take the image for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l rm -d 'Remove the container and its anonymous volumes when it ends'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l init -d 'Run a small init as process 1 that forwards signals and reaps'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l disable-content-trust -d 'Verify signatures of the image: not possible, so only the default (do not) is accepted'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l no-healthcheck -d 'Ignore the image\'s health check'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s i -l interactive -d 'Keep the standard input open'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s t -l tty -d 'Give the process a terminal'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l read-only -d 'Mount the root file system read-only'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l privileged -d 'All capabilities, no filter of system calls, nothing masked: as much as the user may give away'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s P -l publish-all -d 'Publish all exposed ports, to any that are free'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l oom-kill-disable -d 'Do not kill when memory runs out: control groups of version 2 cannot'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l use-api-socket -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Do not show the progress of a pull'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from create" -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from diff" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -s e -l env -d 'Environment variable, NAME=VALUE, or NAME to pass it on' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -l env-file -d 'File with an environment variable on each line' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -s u -l user -d 'User and optionally group, USER[:GROUP], by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -s w -l workdir -d 'Directory to start in' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -s d -l detach -d 'Let the command go on alone'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -s i -l interactive -d 'Keep the standard input open'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -l privileged -d 'Give the command all capabilities and no system call filter'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -s t -l tty -d 'Give the command a terminal'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from exec" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from export" -s o -l output -d 'Write this file instead of standard output; it appears when it is complete' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from export" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from inspect" -s f -l format -d '`json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from inspect" -s s -l size -d 'Count what they wrote'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from kill" -s s -l signal -d 'Signal to send' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from kill" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from logs" -l since -d 'Only from this time on, or from so long ago' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from logs" -s n -l tail -d 'Only so many lines from the end' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from logs" -l until -d 'Only up to this time, or to so long ago' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from logs" -l details -d 'Show the labels and variables that the log was told to keep too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Go on until the container ends'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from logs" -s t -l timestamps -d 'Show the time of each line'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from logs" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Only those for which KEY=VALUE holds: ancestor, before, exited, expose, health, id, is-task, label, name, network, publish, since, status, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s n -l last -d 'The last so many, whatever their state' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s l -l latest -d 'The newest, whatever its state'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s s -l size -d 'Sizes of what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s f -l filter -d 'Only those for which KEY=VALUE holds: ancestor, before, exited, expose, health, id, is-task, label, name, network, publish, since, status, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s n -l last -d 'The last so many, whatever their state' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s l -l latest -d 'The newest, whatever its state'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s s -l size -d 'Sizes of what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s f -l filter -d 'Only those for which KEY=VALUE holds: ancestor, before, exited, expose, health, id, is-task, label, name, network, publish, since, status, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s n -l last -d 'The last so many, whatever their state' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s l -l latest -d 'The newest, whatever its state'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s s -l size -d 'Sizes of what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from pause" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from port" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from prune" -l filter -d 'Only those that match: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from prune" -s f -l force -d 'Do not ask'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from prune" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from rename" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from restart" -s s -l signal -d 'Signal to begin with, in place of the container\'s own' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from restart" -s t -l timeout -d 'Seconds to wait before killing; -1 waits without end' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from restart" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from rm" -s f -l force -d 'Kill a container that runs'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from rm" -s l -l link -d 'Remove a link between containers: not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from rm" -s v -l volumes -d 'Remove the anonymous volumes too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from rm" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from remove" -s f -l force -d 'Kill a container that runs'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from remove" -s l -l link -d 'Remove a link between containers: not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from remove" -s v -l volumes -d 'Remove the anonymous volumes too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from remove" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l name -d 'Name of the container; one is made up otherwise' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s h -l hostname -d 'Host name inside; by default the beginning of the container\'s ID' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l domainname -d 'NIS domain name inside' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s l -l label -d 'Label, NAME=VALUE or NAME' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l label-file -d 'File with a label on each line; a name alone has its value from the environment, if it is set there' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l annotation -d 'Annotation, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cidfile -d 'Write the container\'s ID to this new file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l stop-signal -d 'Signal that asks the container to stop' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l stop-timeout -d 'Seconds to wait for that before killing' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l restart -d 'When to start it again: `no`, `on-failure[:MAX]`, `always`, `unless-stopped`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-cmd -d 'Command that checks its health' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-interval -d 'Time between checks' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-retries -d 'Failures in a row that make it unhealthy' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-start-interval -d 'Time between checks while it starts up' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-start-period -d 'Time for it to start up, in which failures do not count' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-timeout -d 'Time that a check may take' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l log-driver -d 'Where its output is kept: `json-file`, `local`, `journald`, `none`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l log-opt -d 'Option of the log driver, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s a -l attach -d 'Attach to stdin, stdout or stderr' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l entrypoint -d 'Program to run in place of the image\'s; an empty one takes it away' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s e -l env -d 'Environment variable, NAME=VALUE, or NAME to pass it on' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l env-file -d 'File with an environment variable on each line' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l group-add -d 'Further group, by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s u -l user -d 'User and optionally group, USER[:GROUP], by name or number' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s w -l workdir -d 'Directory to start in' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l ulimit -d 'Limit of each process, NAME=SOFT[:HARD]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l oom-score-adj -d 'Preference of the kernel when memory runs out, -1000 to 1000' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s v -l volume -d 'Mount [SOURCE:]TARGET[:OPTIONS]; SOURCE is an absolute path of the host or a volume\'s name' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l mount -d 'Mount by keys: type=bind|volume|tmpfs,source=…,target=…[,readonly]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l tmpfs -d 'File system in memory, TARGET[:OPTIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l volumes-from -d 'Take over the mounts of another container, CONTAINER[:ro|rw]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l volume-driver -d 'The driver of volumes: `local`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device -d 'Offer a device of the host, HOST[:CONTAINER][:PERMISSIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l rootfs -d 'Use this directory of the host as root file system in place of an image' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l shm-size -d 'Size of /dev/shm (64m by default)' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cap-add -d 'Add a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cap-drop -d 'Drop a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l security-opt -d 'seccomp=FILE|unconfined, no-new-privileges, apparmor=…, label=…, systempaths=unconfined, writable-cgroups' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l sysctl -d 'Kernel setting of the container\'s own namespaces, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l pid -d 'Process table: host or container:NAME shares theirs' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l ipc -d 'IPC namespace: private, shareable, container:NAME, none or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l uts -d 'Host name: `host` shares the host\'s' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cgroupns -d 'Cgroup namespace: private or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l userns -d 'Map of users: host, keep-id[:uid=N,gid=N], auto or nomap' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l network -l net -d 'Network: a name, none, host or container:NAME; or name=NAME,alias=…,ip=…,ip6=…,mac-address=…,gw-priority=…' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l network-alias -d 'Further name of the container on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l ip -d 'IPv4 address on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l ip6 -d 'IPv6 address on its network' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l link-local-ip -d 'Address of the link-local range, beside its own' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l mac-address -d 'Hardware address, 02:42:…' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l link -d 'Another container, under a name that only this one knows, CONTAINER[:NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s p -l publish -d 'Publish a port, [[IP:][HOST[-HOST]]:]PORT[-PORT][/PROTOCOL]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l egress-log -d 'Write down what the container asks for and reaches, appended to this file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l expose -d 'A port that the container says it listens on, PORT[-PORT][/PROTOCOL]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l add-host -d 'Add NAME:ADDRESS to /etc/hosts' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l dns -d 'Name server' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l dns-option -d 'Option of the resolver' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l dns-search -d 'Domain in which names are searched' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l blkio-weight -d 'Weight of disk access against others, 10 to 1000, or 0 for none' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-period -d 'Microseconds of a period of the processor scheduler' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-quota -d 'Microseconds of processor time in each period' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-rt-period -d 'Period of real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-rt-runtime -d 'Processor time for real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s c -l cpu-shares -d 'Weight of processor time against others, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpus -d 'Number of processors, with a fraction' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpuset-cpus -d 'Processors that may be used, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpuset-mems -d 'Memory nodes that may be used, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l kernel-memory -d 'Memory of the kernel: control groups of version 2 count it with the rest' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s m -l memory -d 'Memory' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l memory-reservation -d 'Memory that is left to the container when memory gets scarce' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l memory-swap -d 'Memory and swap space together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l pids-limit -d 'Number of processes and threads, or -1 for no limit' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l blkio-weight-device -d 'Weight of access to one disk, PATH:WEIGHT' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cgroup-parent -d 'Slice of systemd, or directory of delegated control groups, to put the container\'s own below' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-count -d 'Processors: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-percent -d 'Share of the processors: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-cgroup-rule -d 'Rule for a group of devices: only root can set one' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-read-bps -d 'Bytes read from a device each second, PATH:SIZE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-read-iops -d 'Reads of a device each second, PATH:NUMBER' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-write-bps -d 'Bytes written to a device each second, PATH:SIZE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-write-iops -d 'Writes to a device each second, PATH:NUMBER' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l io-maxbandwidth -d 'Rate of disk access: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l io-maxiops -d 'Number of disk accesses: for Windows only' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l memory-swappiness -d 'Readiness to swap: control groups of version 2 have none of their own' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l gpus -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l isolation -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l runtime -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l storage-opt -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l pull -d 'Ask the registry `always`, for what is `missing`, or `never`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l platform -d 'Take the image for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l rm -d 'Remove the container and its anonymous volumes when it ends'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l init -d 'Run a small init as process 1 that forwards signals and reaps'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l disable-content-trust -d 'Verify signatures of the image: not possible, so only the default (do not) is accepted'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l no-healthcheck -d 'Ignore the image\'s health check'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s i -l interactive -d 'Keep the standard input open'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s t -l tty -d 'Give the process a terminal'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l read-only -d 'Mount the root file system read-only'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l privileged -d 'All capabilities, no filter of system calls, nothing masked: as much as the user may give away'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s P -l publish-all -d 'Publish all exposed ports, to any that are free'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l oom-kill-disable -d 'Do not kill when memory runs out: control groups of version 2 cannot'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l use-api-socket -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s q -l quiet -d 'Do not show the progress of a pull'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s d -l detach -d 'Leave it running in the background and print its ID'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l sig-proxy -d 'Pass signals on to the process'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from start" -l checkpoint -d 'Restore from a checkpoint: not possible' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from start" -l checkpoint-dir -d 'Where checkpoints are: not possible' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from start" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from start" -s a -l attach -d 'Attach the output and pass signals on'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from start" -s i -l interactive -d 'Attach the input too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from start" -l sig-proxy -d 'Pass signals on to the process while attached'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from start" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from stats" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from stats" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from stats" -l no-stream -d 'Show once and end'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from stats" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from stats" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from stop" -s s -l signal -d 'Signal to begin with, in place of the container\'s own' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from stop" -s t -l timeout -d 'Seconds to wait before killing; -1 waits without end' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from stop" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from top" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from unpause" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l blkio-weight -d 'Weight of disk access against others, 10 to 1000, or 0 for none' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l cpu-period -d 'Microseconds of a period of the processor scheduler' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l cpu-quota -d 'Microseconds of processor time in each period' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l cpu-rt-period -d 'Period of real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l cpu-rt-runtime -d 'Processor time for real-time scheduling: control groups of version 2 have none' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -s c -l cpu-shares -d 'Weight of processor time against others, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l cpus -d 'Number of processors, with a fraction' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l cpuset-cpus -d 'Processors that may be used, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l cpuset-mems -d 'Memory nodes that may be used, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l kernel-memory -d 'Memory of the kernel: control groups of version 2 count it with the rest' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -s m -l memory -d 'Memory' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l memory-reservation -d 'Memory that is left to the container when memory gets scarce' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l memory-swap -d 'Memory and swap space together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l pids-limit -d 'Number of processes and threads, or -1 for no limit' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -l restart -d 'When to start it again: no, on-failure[:MAX], always or unless-stopped' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from update" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from wait" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand wait" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand context; and not __fish_seen_subcommand_from inspect ls list show use" -f -a "inspect" -d 'Show contexts, by default the current one'
complete -c dhow -n "__fish_dhow_using_subcommand context; and not __fish_seen_subcommand_from inspect ls list show use" -f -a "ls" -d 'List contexts'
complete -c dhow -n "__fish_dhow_using_subcommand context; and not __fish_seen_subcommand_from inspect ls list show use" -f -a "list" -d 'List contexts'
complete -c dhow -n "__fish_dhow_using_subcommand context; and not __fish_seen_subcommand_from inspect ls list show use" -f -a "show" -d 'Print the name of the current context'
complete -c dhow -n "__fish_dhow_using_subcommand context; and not __fish_seen_subcommand_from inspect ls list show use" -f -a "use" -d 'Select the context that is used'
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from inspect" -s f -l format -d '`json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from ls" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Only the names'
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from ls" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from list" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Only the names'
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from list" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from show" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand context; and __fish_seen_subcommand_from use" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l add-host -d 'Line for /etc/hosts, NAME:ADDRESS' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l allow -d 'Allow what needs more rights: network.host, security.insecure' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l annotation -d 'Annotation of the image, [TYPE:]KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l attest -d 'Attestation, type=provenance or type=sbom with attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l build-arg -d 'Value of an ARG, NAME=VALUE, or NAME for that of the environment' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l build-context -d 'Further context, NAME=DIR|URL|docker-image://IMAGE|oci-layout://DIR' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l builder -d 'Builder, one of `buildx ls`: they are all the same' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l cache-from -d 'Cache to take steps from, IMAGE or type=registry|local,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l cache-to -d 'Cache to write, type=registry|local|inline,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l call -d 'Instead of building: check, outline or targets, with `,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l cgroup-parent -d 'Slice of systemd, or directory of delegated control groups, to put those of RUN below' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -s f -l file -d 'The Dockerfile, or - for standard input' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l iidfile -d 'Write the image\'s ID into this file' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l label -d 'Label of the image, KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l metadata-file -d 'Write what came out into this file, as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l network -d 'Network of RUN steps: default, none, host, or a network\'s name' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l no-cache-filter -d 'Carry the steps of these stages out anew' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -s o -l output -d 'What to make, DIR, - or type=image|local|tar|oci|docker|registry,…; several are possible' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l platform -d 'Platforms to build for, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l print -d 'What --call was called' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l progress -d 'How to show what goes on: auto, plain, tty, quiet, rawjson' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l provenance -d 'Provenance attestation: false, true, or attributes such as mode=max' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l sbom -d 'Attestation of what is in the image: false, true, or attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l secret -d 'Secret for RUN steps, id=ID[,src=FILE|env=NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l shm-size -d 'Size of /dev/shm in RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l ssh -d 'Agent or keys for RUN steps, default or ID=SOCKET|KEY' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -s t -l tag -d 'Name of the image' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l target -d 'Stage to build, instead of the last' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l ulimit -d 'Limit on resources of a process in RUN steps, NAME=SOFT[:HARD]' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l cpu-period -d 'Microseconds of a period of the processor scheduler, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l cpu-quota -d 'Microseconds of processor time in each period, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -s c -l cpu-shares -d 'Weight of processor time against others, for RUN steps, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l cpuset-cpus -d 'Processors that RUN steps may use, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l cpuset-mems -d 'Memory nodes that RUN steps may use, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l isolation -d 'How containers are kept apart: `default`' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -s m -l memory -d 'Memory of RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l memory-swap -d 'Memory and swap space of RUN steps together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l security-opt -d 'Security of RUN steps: that is said with `RUN --security`' -r
complete -c dhow -n "__fish_dhow_using_subcommand build" -l check -d 'The same as --call=check'
complete -c dhow -n "__fish_dhow_using_subcommand build" -s D -l debug -d 'Explain warnings, and show each cause of an error'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l load -d 'Put the image into the store, also where another output is asked for'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l no-cache -d 'Carry every step out anew'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l pull -d 'Ask the registry for base images that are here already'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l push -d 'Push the image'
complete -c dhow -n "__fish_dhow_using_subcommand build" -s q -l quiet -d 'Show nothing, and print the image\'s ID'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l resume -d 'Go on from the file system that a failed RUN step left'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l compress -d 'Compress the context on its way: there is no way'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l disable-content-trust -d 'Do not verify signatures; dhow has no Notary client, so nothing else is possible'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l force-rm -d 'Remove what steps leave even when they fail'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l rm -d 'Remove what steps leave when they succeed, which is always done'
complete -c dhow -n "__fish_dhow_using_subcommand build" -l squash -d 'Make one layer of all new ones'
complete -c dhow -n "__fish_dhow_using_subcommand build" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and not __fish_seen_subcommand_from prune build" -f -a "prune" -d 'Remove what the build cache holds'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and not __fish_seen_subcommand_from prune build" -f -a "build" -d 'Build an image from a Dockerfile'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from prune" -l filter -d 'Only what matches: id, type, description, until, inuse, shared, private, mutable' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from prune" -l keep-storage -d 'Leave as much as this, the latest' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from prune" -s a -l all -d 'What images have too, not only what nothing else uses'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from prune" -s f -l force -d 'Do not ask'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from prune" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l add-host -d 'Line for /etc/hosts, NAME:ADDRESS' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l allow -d 'Allow what needs more rights: network.host, security.insecure' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l annotation -d 'Annotation of the image, [TYPE:]KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l attest -d 'Attestation, type=provenance or type=sbom with attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l build-arg -d 'Value of an ARG, NAME=VALUE, or NAME for that of the environment' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l build-context -d 'Further context, NAME=DIR|URL|docker-image://IMAGE|oci-layout://DIR' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l builder -d 'Builder, one of `buildx ls`: they are all the same' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l cache-from -d 'Cache to take steps from, IMAGE or type=registry|local,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l cache-to -d 'Cache to write, type=registry|local|inline,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l call -d 'Instead of building: check, outline or targets, with `,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l cgroup-parent -d 'Slice of systemd, or directory of delegated control groups, to put those of RUN below' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -s f -l file -d 'The Dockerfile, or - for standard input' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l iidfile -d 'Write the image\'s ID into this file' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l label -d 'Label of the image, KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l metadata-file -d 'Write what came out into this file, as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l network -d 'Network of RUN steps: default, none, host, or a network\'s name' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l no-cache-filter -d 'Carry the steps of these stages out anew' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -s o -l output -d 'What to make, DIR, - or type=image|local|tar|oci|docker|registry,…; several are possible' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l platform -d 'Platforms to build for, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l print -d 'What --call was called' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l progress -d 'How to show what goes on: auto, plain, tty, quiet, rawjson' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l provenance -d 'Provenance attestation: false, true, or attributes such as mode=max' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l sbom -d 'Attestation of what is in the image: false, true, or attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l secret -d 'Secret for RUN steps, id=ID[,src=FILE|env=NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l shm-size -d 'Size of /dev/shm in RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l ssh -d 'Agent or keys for RUN steps, default or ID=SOCKET|KEY' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -s t -l tag -d 'Name of the image' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l target -d 'Stage to build, instead of the last' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l ulimit -d 'Limit on resources of a process in RUN steps, NAME=SOFT[:HARD]' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l cpu-period -d 'Microseconds of a period of the processor scheduler, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l cpu-quota -d 'Microseconds of processor time in each period, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -s c -l cpu-shares -d 'Weight of processor time against others, for RUN steps, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l cpuset-cpus -d 'Processors that RUN steps may use, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l cpuset-mems -d 'Memory nodes that RUN steps may use, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l isolation -d 'How containers are kept apart: `default`' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -s m -l memory -d 'Memory of RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l memory-swap -d 'Memory and swap space of RUN steps together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l security-opt -d 'Security of RUN steps: that is said with `RUN --security`' -r
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l check -d 'The same as --call=check'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -s D -l debug -d 'Explain warnings, and show each cause of an error'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l load -d 'Put the image into the store, also where another output is asked for'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l no-cache -d 'Carry every step out anew'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l pull -d 'Ask the registry for base images that are here already'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l push -d 'Push the image'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -s q -l quiet -d 'Show nothing, and print the image\'s ID'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l resume -d 'Go on from the file system that a failed RUN step left'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l compress -d 'Compress the context on its way: there is no way'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l disable-content-trust -d 'Do not verify signatures; dhow has no Notary client, so nothing else is possible'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l force-rm -d 'Remove what steps leave even when they fail'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l rm -d 'Remove what steps leave when they succeed, which is always done'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -l squash -d 'Make one layer of all new ones'
complete -c dhow -n "__fish_dhow_using_subcommand builder; and __fish_seen_subcommand_from build" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "bake" -d 'Build what files of targets describe (HCL, JSON, compose)'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "f" -d 'Build what files of targets describe (HCL, JSON, compose)'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "create" -d 'Give the builder another name'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "du" -d 'Show what the build cache holds'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "imagetools" -d 'Work on images that are on registries, without fetching them'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "inspect" -d 'Show what a builder is'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "ls" -d 'List builders'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "prune" -d 'Remove what the build cache holds, and show it'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "rm" -d 'Forget names of the builder'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "stop" -d 'Stop a builder\'s daemon: there is none, so this only checks the name'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "use" -d 'Use a builder where none is named'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "version" -d 'Show which version of buildx the commands are like'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "build" -d 'Build an image from a Dockerfile'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and not __fish_seen_subcommand_from bake f create du imagetools inspect ls prune rm stop use version build b" -f -a "b" -d 'Build an image from a Dockerfile'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l allow -d 'Allow what needs more rights: network.host, security.insecure' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l builder -d 'Builder, one of `buildx ls`: they are all the same' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l call -d 'Instead of building: check, outline or targets, with `,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -s f -l file -d 'File of targets, or - for standard input' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l list -d 'List `targets` or `variables` and stop; `type=targets,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l metadata-file -d 'Write what came out into this file, as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l no-cache -d 'Carry every step out anew' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l progress -d 'How to show what goes on: auto, plain, tty, quiet, rawjson' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l provenance -d 'Provenance attestation: false, true, or attributes such as mode=max' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l pull -d 'Ask the registry for base images that are here already' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l sbom -d 'Attestation of what is in the image: false, true, or attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l set -d 'Change targets, TARGET.KEY=VALUE, where TARGET may be a pattern' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l check -d 'The same as --call=check'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -s D -l debug -d 'Explain warnings, and show each cause of an error'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l list-targets -d 'What --list=targets was called'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l list-variables -d 'What --list=variables was called'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l load -d 'Put images into the store, also where another output is asked for'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l print -d 'Print the targets as they come to be, and stop'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -l push -d 'Push images'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from bake" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l allow -d 'Allow what needs more rights: network.host, security.insecure' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l builder -d 'Builder, one of `buildx ls`: they are all the same' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l call -d 'Instead of building: check, outline or targets, with `,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -s f -l file -d 'File of targets, or - for standard input' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l list -d 'List `targets` or `variables` and stop; `type=targets,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l metadata-file -d 'Write what came out into this file, as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l no-cache -d 'Carry every step out anew' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l progress -d 'How to show what goes on: auto, plain, tty, quiet, rawjson' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l provenance -d 'Provenance attestation: false, true, or attributes such as mode=max' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l pull -d 'Ask the registry for base images that are here already' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l sbom -d 'Attestation of what is in the image: false, true, or attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l set -d 'Change targets, TARGET.KEY=VALUE, where TARGET may be a pattern' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l check -d 'The same as --call=check'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -s D -l debug -d 'Explain warnings, and show each cause of an error'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l list-targets -d 'What --list=targets was called'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l list-variables -d 'What --list=variables was called'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l load -d 'Put images into the store, also where another output is asked for'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l print -d 'Print the targets as they come to be, and stop'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -l push -d 'Push images'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from f" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l buildkitd-config -d 'Configuration of a daemon that there is not' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l buildkitd-flags -d 'Flags of a daemon that there is not' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l driver -d 'What the driver is called: docker-container, remote, …' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l driver-opt -d 'Options of the driver' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l name -d 'The name; made up if left out' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l node -d 'What its node is called' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l platform -d 'Platforms of the node' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l append -d 'Add a node to the builder: it has one whatever is added'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l bootstrap -d 'See that it runs, which it needs not'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l leave -d 'Remove a node from the builder'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -l use -d 'Use it from now on'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from create" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from du" -l builder -d 'Builder, one of `buildx ls`: they share one cache' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from du" -l filter -d 'Only those that match: id, type, description, until, inuse, shared, private, mutable' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from du" -l verbose -d 'Everything about each'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from du" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from imagetools" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from imagetools" -f -a "create" -d 'Make an index of images on registries'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from imagetools" -f -a "inspect" -d 'Show what is under a name'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from inspect" -l builder -d 'Builder, where the argument names none' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from inspect" -l bootstrap -d 'See that it runs: there is nothing that would have to'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from ls" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Show platforms in full'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from ls" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -l filter -d 'Only what matches: id, type, description, until, inuse, shared, private, mutable' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -l keep-storage -d 'Leave as much as this, the latest' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -l builder -d 'Builder, one of `buildx ls`: they share one cache' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -l max-used-space -d 'The most that may be left' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -l min-free-space -d 'Remove until as much as this is free on the disk' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -l reserved-space -d 'Leave as much as this, whatever the other limits say' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -s a -l all -d 'What images have too, not only what nothing else uses'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -s f -l force -d 'Do not ask'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -l verbose -d 'Everything about each'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from prune" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from rm" -l builder -d 'Builder, where no argument names one' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from rm" -l all-inactive -d 'All that do not run: none is running for long'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from rm" -s f -l force -d 'Do not ask'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from rm" -l keep-daemon -d 'Keep a daemon that there is not'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from rm" -l keep-state -d 'Keep the cache, which is always kept: builders share it'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from rm" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from stop" -l builder -d 'Builder, where the argument names none' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from stop" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from use" -l default -d 'Use it whatever docker\'s context is, which is always so'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from use" -l global -d 'Use it whatever docker\'s context is, which is always so'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from use" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from version" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l add-host -d 'Line for /etc/hosts, NAME:ADDRESS' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l allow -d 'Allow what needs more rights: network.host, security.insecure' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l annotation -d 'Annotation of the image, [TYPE:]KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l attest -d 'Attestation, type=provenance or type=sbom with attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l build-arg -d 'Value of an ARG, NAME=VALUE, or NAME for that of the environment' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l build-context -d 'Further context, NAME=DIR|URL|docker-image://IMAGE|oci-layout://DIR' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l builder -d 'Builder, one of `buildx ls`: they are all the same' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l cache-from -d 'Cache to take steps from, IMAGE or type=registry|local,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l cache-to -d 'Cache to write, type=registry|local|inline,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l call -d 'Instead of building: check, outline or targets, with `,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l cgroup-parent -d 'Slice of systemd, or directory of delegated control groups, to put those of RUN below' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -s f -l file -d 'The Dockerfile, or - for standard input' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l iidfile -d 'Write the image\'s ID into this file' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l label -d 'Label of the image, KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l metadata-file -d 'Write what came out into this file, as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l network -d 'Network of RUN steps: default, none, host, or a network\'s name' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l no-cache-filter -d 'Carry the steps of these stages out anew' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -s o -l output -d 'What to make, DIR, - or type=image|local|tar|oci|docker|registry,…; several are possible' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l platform -d 'Platforms to build for, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l print -d 'What --call was called' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l progress -d 'How to show what goes on: auto, plain, tty, quiet, rawjson' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l provenance -d 'Provenance attestation: false, true, or attributes such as mode=max' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l sbom -d 'Attestation of what is in the image: false, true, or attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l secret -d 'Secret for RUN steps, id=ID[,src=FILE|env=NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l shm-size -d 'Size of /dev/shm in RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l ssh -d 'Agent or keys for RUN steps, default or ID=SOCKET|KEY' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -s t -l tag -d 'Name of the image' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l target -d 'Stage to build, instead of the last' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l ulimit -d 'Limit on resources of a process in RUN steps, NAME=SOFT[:HARD]' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l cpu-period -d 'Microseconds of a period of the processor scheduler, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l cpu-quota -d 'Microseconds of processor time in each period, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -s c -l cpu-shares -d 'Weight of processor time against others, for RUN steps, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l cpuset-cpus -d 'Processors that RUN steps may use, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l cpuset-mems -d 'Memory nodes that RUN steps may use, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l isolation -d 'How containers are kept apart: `default`' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -s m -l memory -d 'Memory of RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l memory-swap -d 'Memory and swap space of RUN steps together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l security-opt -d 'Security of RUN steps: that is said with `RUN --security`' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l check -d 'The same as --call=check'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -s D -l debug -d 'Explain warnings, and show each cause of an error'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l load -d 'Put the image into the store, also where another output is asked for'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l no-cache -d 'Carry every step out anew'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l pull -d 'Ask the registry for base images that are here already'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l push -d 'Push the image'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -s q -l quiet -d 'Show nothing, and print the image\'s ID'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l resume -d 'Go on from the file system that a failed RUN step left'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l compress -d 'Compress the context on its way: there is no way'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l disable-content-trust -d 'Do not verify signatures; dhow has no Notary client, so nothing else is possible'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l force-rm -d 'Remove what steps leave even when they fail'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l rm -d 'Remove what steps leave when they succeed, which is always done'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -l squash -d 'Make one layer of all new ones'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from build" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l add-host -d 'Line for /etc/hosts, NAME:ADDRESS' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l allow -d 'Allow what needs more rights: network.host, security.insecure' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l annotation -d 'Annotation of the image, [TYPE:]KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l attest -d 'Attestation, type=provenance or type=sbom with attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l build-arg -d 'Value of an ARG, NAME=VALUE, or NAME for that of the environment' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l build-context -d 'Further context, NAME=DIR|URL|docker-image://IMAGE|oci-layout://DIR' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l builder -d 'Builder, one of `buildx ls`: they are all the same' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l cache-from -d 'Cache to take steps from, IMAGE or type=registry|local,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l cache-to -d 'Cache to write, type=registry|local|inline,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l call -d 'Instead of building: check, outline or targets, with `,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l cgroup-parent -d 'Slice of systemd, or directory of delegated control groups, to put those of RUN below' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -s f -l file -d 'The Dockerfile, or - for standard input' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l iidfile -d 'Write the image\'s ID into this file' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l label -d 'Label of the image, KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l metadata-file -d 'Write what came out into this file, as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l network -d 'Network of RUN steps: default, none, host, or a network\'s name' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l no-cache-filter -d 'Carry the steps of these stages out anew' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -s o -l output -d 'What to make, DIR, - or type=image|local|tar|oci|docker|registry,…; several are possible' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l platform -d 'Platforms to build for, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l print -d 'What --call was called' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l progress -d 'How to show what goes on: auto, plain, tty, quiet, rawjson' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l provenance -d 'Provenance attestation: false, true, or attributes such as mode=max' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l sbom -d 'Attestation of what is in the image: false, true, or attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l secret -d 'Secret for RUN steps, id=ID[,src=FILE|env=NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l shm-size -d 'Size of /dev/shm in RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l ssh -d 'Agent or keys for RUN steps, default or ID=SOCKET|KEY' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -s t -l tag -d 'Name of the image' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l target -d 'Stage to build, instead of the last' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l ulimit -d 'Limit on resources of a process in RUN steps, NAME=SOFT[:HARD]' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l cpu-period -d 'Microseconds of a period of the processor scheduler, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l cpu-quota -d 'Microseconds of processor time in each period, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -s c -l cpu-shares -d 'Weight of processor time against others, for RUN steps, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l cpuset-cpus -d 'Processors that RUN steps may use, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l cpuset-mems -d 'Memory nodes that RUN steps may use, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l isolation -d 'How containers are kept apart: `default`' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -s m -l memory -d 'Memory of RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l memory-swap -d 'Memory and swap space of RUN steps together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l security-opt -d 'Security of RUN steps: that is said with `RUN --security`' -r
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l check -d 'The same as --call=check'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -s D -l debug -d 'Explain warnings, and show each cause of an error'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l load -d 'Put the image into the store, also where another output is asked for'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l no-cache -d 'Carry every step out anew'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l pull -d 'Ask the registry for base images that are here already'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l push -d 'Push the image'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -s q -l quiet -d 'Show nothing, and print the image\'s ID'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l resume -d 'Go on from the file system that a failed RUN step left'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l compress -d 'Compress the context on its way: there is no way'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l disable-content-trust -d 'Do not verify signatures; dhow has no Notary client, so nothing else is possible'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l force-rm -d 'Remove what steps leave even when they fail'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l rm -d 'Remove what steps leave when they succeed, which is always done'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -l squash -d 'Make one layer of all new ones'
complete -c dhow -n "__fish_dhow_using_subcommand buildx; and __fish_seen_subcommand_from b" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand history" -l format -d '`table`, `json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand history" -l platform -d 'Only if the image is for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand history" -s H -l human -d 'Print sizes with units and times as spans; exact ones with --human=false'
complete -c dhow -n "__fish_dhow_using_subcommand history" -l no-trunc -d 'Show whole IDs and instructions'
complete -c dhow -n "__fish_dhow_using_subcommand history" -s q -l quiet -d 'Only show IDs'
complete -c dhow -n "__fish_dhow_using_subcommand history" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand import" -s c -l change -d 'Apply this Dockerfile instruction to the image\'s configuration' -r
complete -c dhow -n "__fish_dhow_using_subcommand import" -s m -l message -d 'Remember this text as the image\'s comment' -r
complete -c dhow -n "__fish_dhow_using_subcommand import" -l platform -d 'The platform that the files are for (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand import" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand load" -s i -l input -d 'Read this file instead of standard input' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand load" -l platform -d 'Only images for this platform (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand load" -s q -l quiet -d 'Do not show the progress'
complete -c dhow -n "__fish_dhow_using_subcommand load" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand images" -s f -l filter -d 'Only those that match: before, dangling, label, reference, since, until' -r
complete -c dhow -n "__fish_dhow_using_subcommand images" -l format -d '`table`, `json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand images" -s a -l all -d 'Show all; images here have no hidden intermediate ones, so nothing changes'
complete -c dhow -n "__fish_dhow_using_subcommand images" -l digests -d 'Show the digests that names were pulled by'
complete -c dhow -n "__fish_dhow_using_subcommand images" -l no-trunc -d 'Show whole IDs'
complete -c dhow -n "__fish_dhow_using_subcommand images" -s q -l quiet -d 'Only show IDs'
complete -c dhow -n "__fish_dhow_using_subcommand images" -l tree -d 'Show images with their platforms and sizes as a tree'
complete -c dhow -n "__fish_dhow_using_subcommand images" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand pull" -l platform -d 'The platform, where the repository has several (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand pull" -s a -l all-tags -d 'Download all tags of the repository'
complete -c dhow -n "__fish_dhow_using_subcommand pull" -l disable-content-trust -d 'Do not verify signatures; dhow has no Notary client, so nothing else is possible'
complete -c dhow -n "__fish_dhow_using_subcommand pull" -s q -l quiet -d 'Print the name of the image only'
complete -c dhow -n "__fish_dhow_using_subcommand pull" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand push" -l compression -d 'How layers are compressed: gzip, zstd or uncompressed; without it blobs that the registry has are used as they are' -r
complete -c dhow -n "__fish_dhow_using_subcommand push" -l compression-level -d 'How much effort goes into that: 0 to 9 for gzip, 0 to 22 for zstd' -r
complete -c dhow -n "__fish_dhow_using_subcommand push" -l format -d 'The manifest\'s sort: docker or oci; without it the image\'s own, else docker' -r
complete -c dhow -n "__fish_dhow_using_subcommand push" -l platform -d 'The one platform to upload of an image for several (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand push" -s a -l all-tags -d 'Upload all tags of the repository'
complete -c dhow -n "__fish_dhow_using_subcommand push" -l disable-content-trust -d 'Do not sign; dhow has no Notary client, so nothing else is possible'
complete -c dhow -n "__fish_dhow_using_subcommand push" -s q -l quiet -d 'Print the name of the image only'
complete -c dhow -n "__fish_dhow_using_subcommand push" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand rmi" -l platform -d 'Only if the image is for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand rmi" -s f -l force -d 'Remove an image with all its names, and names that stopped containers use'
complete -c dhow -n "__fish_dhow_using_subcommand rmi" -l no-prune -d 'Keep parents without a name; images have none here, so nothing changes'
complete -c dhow -n "__fish_dhow_using_subcommand rmi" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand save" -s o -l output -d 'Write this file instead of standard output; it appears when it is complete' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand save" -l platform -d 'Fail for images of other platforms (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand save" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "build" -d 'Build an image from a Dockerfile'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "history" -d 'Show how the layers of an image came to be'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "import" -d 'Make an image of one layer from an archive of a file system'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "inspect" -d 'Show everything about images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "load" -d 'Load images from an archive that `save`, docker, podman or skopeo wrote'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "ls" -d 'List images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "list" -d 'List images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "prune" -d 'Remove images that have no tag, or that nothing uses'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "pull" -d 'Download an image from a registry'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "push" -d 'Upload an image to a registry'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "rm" -d 'Remove images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "remove" -d 'Remove images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "save" -d 'Write images to an archive that docker, podman and skopeo read'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from build history import inspect load ls list prune pull push rm remove save tag" -f -a "tag" -d 'Give an image another name'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l add-host -d 'Line for /etc/hosts, NAME:ADDRESS' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l allow -d 'Allow what needs more rights: network.host, security.insecure' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l annotation -d 'Annotation of the image, [TYPE:]KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l attest -d 'Attestation, type=provenance or type=sbom with attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l build-arg -d 'Value of an ARG, NAME=VALUE, or NAME for that of the environment' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l build-context -d 'Further context, NAME=DIR|URL|docker-image://IMAGE|oci-layout://DIR' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l builder -d 'Builder, one of `buildx ls`: they are all the same' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l cache-from -d 'Cache to take steps from, IMAGE or type=registry|local,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l cache-to -d 'Cache to write, type=registry|local|inline,…' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l call -d 'Instead of building: check, outline or targets, with `,format=json` as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l cgroup-parent -d 'Slice of systemd, or directory of delegated control groups, to put those of RUN below' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -s f -l file -d 'The Dockerfile, or - for standard input' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l iidfile -d 'Write the image\'s ID into this file' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l label -d 'Label of the image, KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l metadata-file -d 'Write what came out into this file, as JSON' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l network -d 'Network of RUN steps: default, none, host, or a network\'s name' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l no-cache-filter -d 'Carry the steps of these stages out anew' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -s o -l output -d 'What to make, DIR, - or type=image|local|tar|oci|docker|registry,…; several are possible' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l platform -d 'Platforms to build for, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l print -d 'What --call was called' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l progress -d 'How to show what goes on: auto, plain, tty, quiet, rawjson' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l provenance -d 'Provenance attestation: false, true, or attributes such as mode=max' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l sbom -d 'Attestation of what is in the image: false, true, or attributes' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l secret -d 'Secret for RUN steps, id=ID[,src=FILE|env=NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l shm-size -d 'Size of /dev/shm in RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l ssh -d 'Agent or keys for RUN steps, default or ID=SOCKET|KEY' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -s t -l tag -d 'Name of the image' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l target -d 'Stage to build, instead of the last' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l ulimit -d 'Limit on resources of a process in RUN steps, NAME=SOFT[:HARD]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l cpu-period -d 'Microseconds of a period of the processor scheduler, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l cpu-quota -d 'Microseconds of processor time in each period, for RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -s c -l cpu-shares -d 'Weight of processor time against others, for RUN steps, 1024 being the usual one' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l cpuset-cpus -d 'Processors that RUN steps may use, as in 0-2,4' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l cpuset-mems -d 'Memory nodes that RUN steps may use, as in 0,1' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l isolation -d 'How containers are kept apart: `default`' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -s m -l memory -d 'Memory of RUN steps' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l memory-swap -d 'Memory and swap space of RUN steps together, or -1 for as much swap space as there is' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l security-opt -d 'Security of RUN steps: that is said with `RUN --security`' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l check -d 'The same as --call=check'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -s D -l debug -d 'Explain warnings, and show each cause of an error'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l load -d 'Put the image into the store, also where another output is asked for'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l no-cache -d 'Carry every step out anew'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l pull -d 'Ask the registry for base images that are here already'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l push -d 'Push the image'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -s q -l quiet -d 'Show nothing, and print the image\'s ID'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l resume -d 'Go on from the file system that a failed RUN step left'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l compress -d 'Compress the context on its way: there is no way'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l disable-content-trust -d 'Do not verify signatures; dhow has no Notary client, so nothing else is possible'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l force-rm -d 'Remove what steps leave even when they fail'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l rm -d 'Remove what steps leave when they succeed, which is always done'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -l squash -d 'Make one layer of all new ones'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from build" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -l format -d '`table`, `json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -l platform -d 'Only if the image is for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -s H -l human -d 'Print sizes with units and times as spans; exact ones with --human=false'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -l no-trunc -d 'Show whole IDs and instructions'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -s q -l quiet -d 'Only show IDs'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from import" -s c -l change -d 'Apply this Dockerfile instruction to the image\'s configuration' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from import" -s m -l message -d 'Remember this text as the image\'s comment' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from import" -l platform -d 'The platform that the files are for (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from import" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from inspect" -s f -l format -d '`json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from inspect" -l platform -d 'Only if the image is for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from load" -s i -l input -d 'Read this file instead of standard input' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from load" -l platform -d 'Only images for this platform (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from load" -s q -l quiet -d 'Do not show the progress'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from load" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Only those that match: before, dangling, label, reference, since, until' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from ls" -l format -d '`table`, `json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from ls" -s a -l all -d 'Show all; images here have no hidden intermediate ones, so nothing changes'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from ls" -l digests -d 'Show the digests that names were pulled by'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Show whole IDs'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Only show IDs'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from ls" -l tree -d 'Show images with their platforms and sizes as a tree'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from ls" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from list" -s f -l filter -d 'Only those that match: before, dangling, label, reference, since, until' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from list" -l format -d '`table`, `json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from list" -s a -l all -d 'Show all; images here have no hidden intermediate ones, so nothing changes'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from list" -l digests -d 'Show the digests that names were pulled by'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from list" -l no-trunc -d 'Show whole IDs'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Only show IDs'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from list" -l tree -d 'Show images with their platforms and sizes as a tree'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from list" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from prune" -l filter -d 'Only those that match: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from prune" -s a -l all -d 'Remove all that no container uses, not only those without a tag'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from prune" -s f -l force -d 'Do not ask'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from prune" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from pull" -l platform -d 'The platform, where the repository has several (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from pull" -s a -l all-tags -d 'Download all tags of the repository'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from pull" -l disable-content-trust -d 'Do not verify signatures; dhow has no Notary client, so nothing else is possible'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from pull" -s q -l quiet -d 'Print the name of the image only'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from pull" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from push" -l compression -d 'How layers are compressed: gzip, zstd or uncompressed; without it blobs that the registry has are used as they are' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from push" -l compression-level -d 'How much effort goes into that: 0 to 9 for gzip, 0 to 22 for zstd' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from push" -l format -d 'The manifest\'s sort: docker or oci; without it the image\'s own, else docker' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from push" -l platform -d 'The one platform to upload of an image for several (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from push" -s a -l all-tags -d 'Upload all tags of the repository'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from push" -l disable-content-trust -d 'Do not sign; dhow has no Notary client, so nothing else is possible'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from push" -s q -l quiet -d 'Print the name of the image only'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from push" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from rm" -l platform -d 'Only if the image is for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from rm" -s f -l force -d 'Remove an image with all its names, and names that stopped containers use'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from rm" -l no-prune -d 'Keep parents without a name; images have none here, so nothing changes'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from rm" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from remove" -l platform -d 'Only if the image is for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from remove" -s f -l force -d 'Remove an image with all its names, and names that stopped containers use'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from remove" -l no-prune -d 'Keep parents without a name; images have none here, so nothing changes'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from remove" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from save" -s o -l output -d 'Write this file instead of standard output; it appears when it is complete' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from save" -l platform -d 'Fail for images of other platforms (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from save" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from tag" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand tag" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and not __fish_seen_subcommand_from annotate create inspect push rm" -f -a "annotate" -d 'Say otherwise what an image of a list is for'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and not __fish_seen_subcommand_from annotate create inspect push rm" -f -a "create" -d 'Put a list together of images on a registry, to be annotated and pushed'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and not __fish_seen_subcommand_from annotate create inspect push rm" -f -a "inspect" -d 'Show a manifest list, or an image\'s manifest on a registry'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and not __fish_seen_subcommand_from annotate create inspect push rm" -f -a "push" -d 'Upload a manifest list, with the images in it that its repository does not have'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and not __fish_seen_subcommand_from annotate create inspect push rm" -f -a "rm" -d 'Forget manifest lists; what was pushed stays on the registry'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from annotate" -l arch -d 'The architecture' -r
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from annotate" -l os -d 'The operating system' -r
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from annotate" -l os-features -d 'What the operating system must have' -r
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from annotate" -l os-version -d 'The operating system\'s version' -r
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from annotate" -l variant -d 'The architecture\'s variant' -r
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from annotate" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from create" -s a -l amend -d 'Add to a list that is there'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from create" -l insecure -d 'Talk to the registry without encryption if it must be'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from create" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from inspect" -l insecure -d 'Talk to the registry without encryption if it must be'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from inspect" -s v -l verbose -d 'Show layers and platform too'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from push" -l insecure -d 'Talk to the registry without encryption if it must be'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from push" -s p -l purge -d 'Forget the list here afterwards'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from push" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand manifest; and __fish_seen_subcommand_from rm" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand network; and not __fish_seen_subcommand_from connect create disconnect inspect ls list prune rm remove" -f -a "connect" -d 'Put a container on a network, whether it runs or not'
complete -c dhow -n "__fish_dhow_using_subcommand network; and not __fish_seen_subcommand_from connect create disconnect inspect ls list prune rm remove" -f -a "create" -d 'Make a network'
complete -c dhow -n "__fish_dhow_using_subcommand network; and not __fish_seen_subcommand_from connect create disconnect inspect ls list prune rm remove" -f -a "disconnect" -d 'Take a container off a network, whether it runs or not'
complete -c dhow -n "__fish_dhow_using_subcommand network; and not __fish_seen_subcommand_from connect create disconnect inspect ls list prune rm remove" -f -a "inspect" -d 'Show everything about networks'
complete -c dhow -n "__fish_dhow_using_subcommand network; and not __fish_seen_subcommand_from connect create disconnect inspect ls list prune rm remove" -f -a "ls" -d 'List networks'
complete -c dhow -n "__fish_dhow_using_subcommand network; and not __fish_seen_subcommand_from connect create disconnect inspect ls list prune rm remove" -f -a "list" -d 'List networks'
complete -c dhow -n "__fish_dhow_using_subcommand network; and not __fish_seen_subcommand_from connect create disconnect inspect ls list prune rm remove" -f -a "prune" -d 'Remove networks that no container is on'
complete -c dhow -n "__fish_dhow_using_subcommand network; and not __fish_seen_subcommand_from connect create disconnect inspect ls list prune rm remove" -f -a "rm" -d 'Remove networks'
complete -c dhow -n "__fish_dhow_using_subcommand network; and not __fish_seen_subcommand_from connect create disconnect inspect ls list prune rm remove" -f -a "remove" -d 'Remove networks'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from connect" -l alias -d 'Further name of the container on the network' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from connect" -l driver-opt -d 'Option for the driver, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from connect" -l gw-priority -d 'The network with the highest gives the default route' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from connect" -l ip -d 'IPv4 address' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from connect" -l ip6 -d 'IPv6 address' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from connect" -l link -d 'Another container, under a name that only this one knows, CONTAINER[:NAME]' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from connect" -l link-local-ip -d 'Address of the link-local range, beside its own' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from connect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l aux-address -d 'Address that no container gets, NAME=ADDRESS' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l config-from -d 'Network of a swarm to take the configuration from: there are none' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -s d -l driver -d 'The driver: bridge' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l egress-allow -d 'Where its containers may go, HOST[:PORT] with a name, *.NAME or a subnet; nowhere else then' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l gateway -d 'Address of the gateway, in the subnet' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l ip-range -d 'Where in the subnet addresses are taken from' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l ipam-driver -d 'Driver of address management: default' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l ipam-opt -d 'Option of address management, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l label -d 'Label, KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -s o -l opt -d 'Option of the driver, as com.docker.network.driver.mtu=1400' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l scope -d 'Scope: local' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l subnet -d 'Subnet, 192.0.2.0/24; one of IPv6 brings IPv6 along' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l attachable -d 'Containers may be put on it by hand, which they always may'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l config-only -d 'Configuration of networks of a swarm: there are none'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l ingress -d 'Network for published ports of a swarm: there are none'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l internal -d 'No way out, and no published ports'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l ipv4 -d 'IPv4 addresses'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -l ipv6 -d 'IPv6 addresses'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from create" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from disconnect" -s f -l force -d 'Even if the container does not answer'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from disconnect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from inspect" -s f -l format -d '`json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from inspect" -s v -l verbose -d 'More about networks of a swarm, which there are none of'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Only those that match: dangling, driver, id, label, name, scope, type' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from ls" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Do not shorten IDs'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from ls" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from list" -s f -l filter -d 'Only those that match: dangling, driver, id, label, name, scope, type' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from list" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from list" -l no-trunc -d 'Do not shorten IDs'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from list" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from prune" -l filter -d 'Only those that match: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]' -r
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from prune" -s f -l force -d 'Do not ask'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from prune" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from rm" -s f -l force -d 'Do not mind networks that are not there'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from rm" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from remove" -s f -l force -d 'Do not mind networks that are not there'
complete -c dhow -n "__fish_dhow_using_subcommand network; and __fish_seen_subcommand_from remove" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand login" -s p -l password -d 'The password; others can see it in the list of processes' -r
complete -c dhow -n "__fish_dhow_using_subcommand login" -s u -l username -d 'The account' -r
complete -c dhow -n "__fish_dhow_using_subcommand login" -l password-stdin -d 'Read the password from standard input'
complete -c dhow -n "__fish_dhow_using_subcommand login" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand logout" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand completion" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand events" -s f -l filter -d 'Only those that match: container, event, image, label, network, scope, type, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand events" -l format -d 'Print with a Go template, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand events" -l since -d 'Begin with what happened at this time, or so long ago (10m)' -r
complete -c dhow -n "__fish_dhow_using_subcommand events" -l until -d 'End with what happened at this time' -r
complete -c dhow -n "__fish_dhow_using_subcommand events" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand info" -s f -l format -d 'Print with a Go template, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand info" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand inspect" -s f -l format -d '`json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand inspect" -l type -d 'Only objects of this kind: container, image, network or volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand inspect" -s s -l size -d 'Count what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand system; and not __fish_seen_subcommand_from autostart df events info install-autostart prune" -f -a "autostart" -d 'Start the containers that are to come back after a reboot'
complete -c dhow -n "__fish_dhow_using_subcommand system; and not __fish_seen_subcommand_from autostart df events info install-autostart prune" -f -a "df" -d 'Show what takes up room'
complete -c dhow -n "__fish_dhow_using_subcommand system; and not __fish_seen_subcommand_from autostart df events info install-autostart prune" -f -a "events" -d 'Show what happens to containers, images and volumes'
complete -c dhow -n "__fish_dhow_using_subcommand system; and not __fish_seen_subcommand_from autostart df events info install-autostart prune" -f -a "info" -d 'Show what dhow found on this machine, and what is missing'
complete -c dhow -n "__fish_dhow_using_subcommand system; and not __fish_seen_subcommand_from autostart df events info install-autostart prune" -f -a "install-autostart" -d 'Have containers with a restart policy come back after a reboot'
complete -c dhow -n "__fish_dhow_using_subcommand system; and not __fish_seen_subcommand_from autostart df events info install-autostart prune" -f -a "prune" -d 'Remove containers, networks, images, volumes and build cache that nothing uses'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from autostart" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from df" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from df" -s v -l verbose -d 'Each image, container and volume'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from df" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from events" -s f -l filter -d 'Only those that match: container, event, image, label, network, scope, type, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from events" -l format -d 'Print with a Go template, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from events" -l since -d 'Begin with what happened at this time, or so long ago (10m)' -r
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from events" -l until -d 'End with what happened at this time' -r
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from events" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from info" -s f -l format -d 'Print with a Go template, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from info" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from install-autostart" -l undo -d 'Take it back'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from install-autostart" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from prune" -l filter -d 'Only those that match: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]' -r
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from prune" -s a -l all -d 'All images that no container uses, not only those without a tag'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from prune" -s f -l force -d 'Do not ask'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from prune" -l volumes -d 'Anonymous volumes that no container uses too'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from prune" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand version" -s f -l format -d 'Print with a Go template, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand version" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and not __fish_seen_subcommand_from create inspect ls list prune rm remove" -f -a "create" -d 'Make a volume'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and not __fish_seen_subcommand_from create inspect ls list prune rm remove" -f -a "inspect" -d 'Show everything about volumes'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and not __fish_seen_subcommand_from create inspect ls list prune rm remove" -f -a "ls" -d 'List volumes'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and not __fish_seen_subcommand_from create inspect ls list prune rm remove" -f -a "list" -d 'List volumes'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and not __fish_seen_subcommand_from create inspect ls list prune rm remove" -f -a "prune" -d 'Remove volumes that no container uses'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and not __fish_seen_subcommand_from create inspect ls list prune rm remove" -f -a "rm" -d 'Remove volumes'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and not __fish_seen_subcommand_from create inspect ls list prune rm remove" -f -a "remove" -d 'Remove volumes'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -s d -l driver -d 'The driver: `local`' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l label -d 'Label, KEY=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -s o -l opt -d 'Option of the driver: type=none with o=bind and device=DIRECTORY, or type=tmpfs with device=tmpfs and o=size=…' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l availability -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l group -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l limit-bytes -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l required-bytes -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l scope -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l secret -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l sharing -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l topology-preferred -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l topology-required -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -l type -d 'For volumes of a swarm only' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from create" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from inspect" -s f -l format -d '`json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Only those that match: dangling, driver, label, name' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from ls" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from ls" -l cluster -d 'Volumes of a swarm: there are none'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Only the names'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from ls" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from list" -s f -l filter -d 'Only those that match: dangling, driver, label, name' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from list" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from list" -l cluster -d 'Volumes of a swarm: there are none'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Only the names'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from list" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from prune" -l filter -d 'Only those that match: label=KEY[=VALUE], label!=KEY[=VALUE]' -r
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from prune" -s a -l all -d 'Those that somebody named too'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from prune" -s f -l force -d 'Do not ask'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from prune" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from rm" -s f -l force -d 'Do not mind volumes that are not there'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from rm" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from remove" -s f -l force -d 'Do not mind volumes that are not there'
complete -c dhow -n "__fish_dhow_using_subcommand volume; and __fish_seen_subcommand_from remove" -s h -l help -d 'Show this help'
