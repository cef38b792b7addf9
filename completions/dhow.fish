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
complete -c dhow -n "__fish_dhow_needs_command" -s c -l context -d 'Only `default` exists: there is no remote engine to choose' -r
complete -c dhow -n "__fish_dhow_needs_command" -s H -l host -d 'Not possible: dhow is the engine itself and connects to none' -r
complete -c dhow -n "__fish_dhow_needs_command" -s l -l log-level -d 'How much to say: debug, info, warn, error, fatal' -r
complete -c dhow -n "__fish_dhow_needs_command" -l tlscacert -d 'Not possible: there is no connection to protect' -r
complete -c dhow -n "__fish_dhow_needs_command" -l tlscert -d 'Not possible: there is no connection to protect' -r
complete -c dhow -n "__fish_dhow_needs_command" -l tlskey -d 'Not possible: there is no connection to protect' -r
complete -c dhow -n "__fish_dhow_needs_command" -s D -l debug -d 'Show each cause of an error on a line of its own'
complete -c dhow -n "__fish_dhow_needs_command" -l tls -d 'Not possible: there is no connection to protect'
complete -c dhow -n "__fish_dhow_needs_command" -l tlsverify -d 'Not possible: there is no connection to protect'
complete -c dhow -n "__fish_dhow_needs_command" -s v -l version -d 'Print the version and stop'
complete -c dhow -n "__fish_dhow_needs_command" -s h -l help -d 'Show help and stop'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "ps" -d 'List containers, by default those that run'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "rm" -d 'Remove containers'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "container" -d 'Containers'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "run" -d 'Make a container from an image and run a command in it'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "history" -d 'Show how the layers of an image came to be'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "import" -d 'Make an image of one layer from an archive of a file system'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "load" -d 'Load images from an archive that `save`, docker, podman or skopeo wrote'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "images" -d 'List images'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "pull" -d 'Download an image from a registry'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "rmi" -d 'Remove images'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "save" -d 'Write images to an archive that docker, podman and skopeo read'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "image" -d 'Images'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "tag" -d 'Give an image another name'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "login" -d 'Log in to a registry, Docker Hub by default'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "logout" -d 'Log out from a registry, Docker Hub by default'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "completion" -d 'Print the completion script of a shell'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "system" -d 'The engine and its data'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "info" -d 'Show what dhow found on this machine, and what is missing'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "inspect" -d 'Show everything about containers, images and volumes'
complete -c dhow -n "__fish_dhow_needs_command" -f -a "version" -d 'Show the version and what it is compatible with'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s f -l filter -d 'Only those for which KEY=VALUE holds: ancestor, before, exited, id, label, name, network, since, status, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand ps" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s n -l last -d 'The last so many, whatever their state' -r
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s l -l latest -d 'The newest, whatever its state'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s s -l size -d 'Sizes of what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand ps" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand rm" -s f -l force -d 'Kill a container that runs'
complete -c dhow -n "__fish_dhow_using_subcommand rm" -s l -l link -d 'Remove a link between containers: not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand rm" -s v -l volumes -d 'Remove the anonymous volumes too'
complete -c dhow -n "__fish_dhow_using_subcommand rm" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from inspect ls list ps prune rm remove run" -f -a "inspect" -d 'Show everything about containers'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from inspect ls list ps prune rm remove run" -f -a "ls" -d 'List containers, by default those that run'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from inspect ls list ps prune rm remove run" -f -a "list" -d 'List containers, by default those that run'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from inspect ls list ps prune rm remove run" -f -a "ps" -d 'List containers, by default those that run'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from inspect ls list ps prune rm remove run" -f -a "prune" -d 'Remove all containers that do not run'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from inspect ls list ps prune rm remove run" -f -a "rm" -d 'Remove containers'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from inspect ls list ps prune rm remove run" -f -a "remove" -d 'Remove containers'
complete -c dhow -n "__fish_dhow_using_subcommand container; and not __fish_seen_subcommand_from inspect ls list ps prune rm remove run" -f -a "run" -d 'Make a container from an image and run a command in it'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from inspect" -s f -l format -d '`json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from inspect" -s s -l size -d 'Count what they wrote'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Only those for which KEY=VALUE holds: ancestor, before, exited, id, label, name, network, since, status, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s n -l last -d 'The last so many, whatever their state' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s l -l latest -d 'The newest, whatever its state'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s s -l size -d 'Sizes of what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ls" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s f -l filter -d 'Only those for which KEY=VALUE holds: ancestor, before, exited, id, label, name, network, since, status, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s n -l last -d 'The last so many, whatever their state' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s l -l latest -d 'The newest, whatever its state'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s s -l size -d 'Sizes of what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from list" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s f -l filter -d 'Only those for which KEY=VALUE holds: ancestor, before, exited, id, label, name, network, since, status, volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -l format -d 'Print with a Go template, `table TEMPLATE`, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s n -l last -d 'The last so many, whatever their state' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s a -l all -d 'Those that do not run too'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s l -l latest -d 'The newest, whatever its state'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -l no-trunc -d 'Do not shorten'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s q -l quiet -d 'Only the IDs'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s s -l size -d 'Sizes of what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from ps" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from prune" -l filter -d 'Only those that match: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from prune" -s f -l force -d 'Do not ask'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from prune" -s h -l help -d 'Show this help'
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
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l label-file -d 'File with a label on each line' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l annotation -d 'Annotation, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cidfile -d 'Write the container\'s ID to this new file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l stop-signal -d 'Signal that asks the container to stop' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l stop-timeout -d 'Seconds to wait for that before killing' -r
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
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device -d 'Offer a device of the host, HOST[:CONTAINER][:PERMISSIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l rootfs -d 'Use this directory of the host as root file system in place of an image' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l shm-size -d 'Size of /dev/shm (64m by default)' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cap-add -d 'Add a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cap-drop -d 'Drop a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l security-opt -d 'seccomp=FILE|unconfined, no-new-privileges, apparmor=…, label=…, systempaths=unconfined, writable-cgroups' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l sysctl -d 'Kernel setting of the container\'s own namespaces, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l pid -d 'Process table: `host` shares the host\'s' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l ipc -d 'IPC namespace: private, shareable, none or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l uts -d 'Host name: `host` shares the host\'s' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cgroupns -d 'Cgroup namespace: private or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l userns -d 'Map of users: host, keep-id[:uid=N,gid=N], auto or nomap' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l network -l net -d 'Network: none or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l add-host -d 'Add NAME:ADDRESS to /etc/hosts' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l dns -d 'Name server' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l dns-option -d 'Option of the resolver' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l dns-search -d 'Domain in which names are searched' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l blkio-weight -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l blkio-weight-device -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-count -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-percent -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-period -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-quota -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-rt-period -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpu-rt-runtime -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s c -l cpu-shares -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpus -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpuset-cpus -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cpuset-mems -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-cgroup-rule -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-read-bps -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-read-iops -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-write-bps -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l device-write-iops -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l io-maxbandwidth -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l io-maxiops -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l kernel-memory -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s m -l memory -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l memory-reservation -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l memory-swap -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l memory-swappiness -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l pids-limit -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l cgroup-parent -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l expose -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l gpus -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-cmd -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-interval -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-retries -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-start-interval -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-start-period -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l health-timeout -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l ip -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l ip6 -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l isolation -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l link -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l link-local-ip -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l log-driver -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l log-opt -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l mac-address -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s p -l publish -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l restart -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l runtime -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l storage-opt -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l volume-driver -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l volumes-from -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l network-alias -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l pull -d 'Ask the registry `always`, for what is `missing`, or `never`' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l platform -d 'Take the image for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l rm -d 'Remove the container and its anonymous volumes when it ends'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l init -d 'Run a small init as process 1 that forwards signals and reaps'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l no-healthcheck -d 'Ignore the image\'s health check'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l disable-content-trust -d 'Verify signatures of the image: not possible, so only the default (do not) is accepted'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s i -l interactive -d 'Keep the standard input open'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s t -l tty -d 'Give the process a terminal'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l read-only -d 'Mount the root file system read-only'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l privileged -d 'All capabilities, no filter of system calls, nothing masked: as much as the user may give away'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l oom-kill-disable -d 'Resource limit: checked, but not applied by this version'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s d -l detach -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s P -l publish-all -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l use-api-socket -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -s q -l quiet -d 'Do not show the progress of a pull'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l sig-proxy -d 'Pass signals on to the process'
complete -c dhow -n "__fish_dhow_using_subcommand container; and __fish_seen_subcommand_from run" -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l name -d 'Name of the container; one is made up otherwise' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s h -l hostname -d 'Host name inside; by default the beginning of the container\'s ID' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l domainname -d 'NIS domain name inside' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s l -l label -d 'Label, NAME=VALUE or NAME' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l label-file -d 'File with a label on each line' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l annotation -d 'Annotation, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cidfile -d 'Write the container\'s ID to this new file' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand run" -l stop-signal -d 'Signal that asks the container to stop' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l stop-timeout -d 'Seconds to wait for that before killing' -r
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
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device -d 'Offer a device of the host, HOST[:CONTAINER][:PERMISSIONS]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l rootfs -d 'Use this directory of the host as root file system in place of an image' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand run" -l shm-size -d 'Size of /dev/shm (64m by default)' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cap-add -d 'Add a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cap-drop -d 'Drop a capability, or ALL' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l security-opt -d 'seccomp=FILE|unconfined, no-new-privileges, apparmor=…, label=…, systempaths=unconfined, writable-cgroups' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l sysctl -d 'Kernel setting of the container\'s own namespaces, NAME=VALUE' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l pid -d 'Process table: `host` shares the host\'s' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l ipc -d 'IPC namespace: private, shareable, none or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l uts -d 'Host name: `host` shares the host\'s' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cgroupns -d 'Cgroup namespace: private or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l userns -d 'Map of users: host, keep-id[:uid=N,gid=N], auto or nomap' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l network -l net -d 'Network: none or host' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l add-host -d 'Add NAME:ADDRESS to /etc/hosts' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l dns -d 'Name server' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l dns-option -d 'Option of the resolver' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l dns-search -d 'Domain in which names are searched' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l blkio-weight -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l blkio-weight-device -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-count -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-percent -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-period -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-quota -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-rt-period -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpu-rt-runtime -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s c -l cpu-shares -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpus -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpuset-cpus -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cpuset-mems -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-cgroup-rule -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-read-bps -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-read-iops -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-write-bps -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l device-write-iops -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l io-maxbandwidth -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l io-maxiops -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l kernel-memory -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s m -l memory -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l memory-reservation -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l memory-swap -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l memory-swappiness -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l pids-limit -d 'Resource limit: checked, but not applied by this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l cgroup-parent -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l expose -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l gpus -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-cmd -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-interval -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-retries -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-start-interval -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-start-period -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l health-timeout -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l ip -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l ip6 -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l isolation -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l link -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l link-local-ip -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l log-driver -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l log-opt -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l mac-address -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -s p -l publish -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l restart -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l runtime -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l storage-opt -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l volume-driver -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l volumes-from -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l network-alias -d 'Not in this version' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l pull -d 'Ask the registry `always`, for what is `missing`, or `never`' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l platform -d 'Take the image for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l detach-keys -d 'Keys that detach the terminal' -r
complete -c dhow -n "__fish_dhow_using_subcommand run" -l rm -d 'Remove the container and its anonymous volumes when it ends'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l init -d 'Run a small init as process 1 that forwards signals and reaps'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l no-healthcheck -d 'Ignore the image\'s health check'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l disable-content-trust -d 'Verify signatures of the image: not possible, so only the default (do not) is accepted'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s i -l interactive -d 'Keep the standard input open'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s t -l tty -d 'Give the process a terminal'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l read-only -d 'Mount the root file system read-only'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l privileged -d 'All capabilities, no filter of system calls, nothing masked: as much as the user may give away'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l oom-kill-disable -d 'Resource limit: checked, but not applied by this version'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s d -l detach -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s P -l publish-all -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l use-api-socket -d 'Not in this version'
complete -c dhow -n "__fish_dhow_using_subcommand run" -s q -l quiet -d 'Do not show the progress of a pull'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l sig-proxy -d 'Pass signals on to the process'
complete -c dhow -n "__fish_dhow_using_subcommand run" -l help -d 'Show this help'
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
complete -c dhow -n "__fish_dhow_using_subcommand rmi" -l platform -d 'Only if the image is for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand rmi" -s f -l force -d 'Remove an image with all its names, and names that stopped containers use'
complete -c dhow -n "__fish_dhow_using_subcommand rmi" -l no-prune -d 'Keep parents without a name; images have none here, so nothing changes'
complete -c dhow -n "__fish_dhow_using_subcommand rmi" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand save" -s o -l output -d 'Write this file instead of standard output; it appears when it is complete' -r -F
complete -c dhow -n "__fish_dhow_using_subcommand save" -l platform -d 'Fail for images of other platforms (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand save" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "history" -d 'Show how the layers of an image came to be'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "inspect" -d 'Show everything about images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "import" -d 'Make an image of one layer from an archive of a file system'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "load" -d 'Load images from an archive that `save`, docker, podman or skopeo wrote'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "ls" -d 'List images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "list" -d 'List images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "prune" -d 'Remove images that have no tag, or that nothing uses'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "pull" -d 'Download an image from a registry'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "rm" -d 'Remove images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "remove" -d 'Remove images'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "save" -d 'Write images to an archive that docker, podman and skopeo read'
complete -c dhow -n "__fish_dhow_using_subcommand image; and not __fish_seen_subcommand_from history inspect import load ls list prune pull rm remove save tag" -f -a "tag" -d 'Give an image another name'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -l format -d '`table`, `json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -l platform -d 'Only if the image is for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -s H -l human -d 'Print sizes with units and times as spans; exact ones with --human=false'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -l no-trunc -d 'Show whole IDs and instructions'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -s q -l quiet -d 'Only show IDs'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from history" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from inspect" -s f -l format -d '`json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from inspect" -l platform -d 'Only if the image is for this platform, os/architecture[/variant]' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from import" -s c -l change -d 'Apply this Dockerfile instruction to the image\'s configuration' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from import" -s m -l message -d 'Remember this text as the image\'s comment' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from import" -l platform -d 'The platform that the files are for (os/architecture[/variant])' -r
complete -c dhow -n "__fish_dhow_using_subcommand image; and __fish_seen_subcommand_from import" -s h -l help -d 'Show this help'
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
complete -c dhow -n "__fish_dhow_using_subcommand login" -s p -l password -d 'The password; others can see it in the list of processes' -r
complete -c dhow -n "__fish_dhow_using_subcommand login" -s u -l username -d 'The account' -r
complete -c dhow -n "__fish_dhow_using_subcommand login" -l password-stdin -d 'Read the password from standard input'
complete -c dhow -n "__fish_dhow_using_subcommand login" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand logout" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand completion" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand system; and not __fish_seen_subcommand_from info" -f -a "info" -d 'Show what dhow found on this machine, and what is missing'
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from info" -s f -l format -d 'Print with a Go template, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand system; and __fish_seen_subcommand_from info" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand info" -s f -l format -d 'Print with a Go template, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand info" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand inspect" -s f -l format -d '`json`, or a Go template' -r
complete -c dhow -n "__fish_dhow_using_subcommand inspect" -l type -d 'Only objects of this kind: container, image or volume' -r
complete -c dhow -n "__fish_dhow_using_subcommand inspect" -s s -l size -d 'Count what containers wrote'
complete -c dhow -n "__fish_dhow_using_subcommand inspect" -s h -l help -d 'Show this help'
complete -c dhow -n "__fish_dhow_using_subcommand version" -s f -l format -d 'Print with a Go template, or `json`' -r
complete -c dhow -n "__fish_dhow_using_subcommand version" -s h -l help -d 'Show this help'
