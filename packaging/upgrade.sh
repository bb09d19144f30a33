#!/bin/sh
# upgrade UNIT...: upgrades running daemons in place, for the packages' scriptlets.
# Each is told to start the program that lies on the disk as its successor, and this waits
# until systemd knows that one as the main process.  What does not run is left alone, and a
# daemon whose successor does not come up goes on as it is.
[ -d /run/systemd/system ] || exit 0

main_pid() {
	systemctl show --property=MainPID --value "$1"
}

status=0
for unit; do
	systemctl --quiet is-active "$unit" || continue
	old=$(main_pid "$unit")
	[ "${old:-0}" -gt 0 ] || continue
	systemctl kill --kill-whom=main --signal=USR2 "$unit" || { status=1; continue; }
	tries=0
	while [ "$(main_pid "$unit")" = "$old" ]; do
		tries=$((tries + 1))
		if [ $tries -gt 100 ]; then
			echo "$unit was not upgraded in place; process $old goes on." \
				"journalctl -u $unit says why; systemctl restart $unit" \
				"starts what is installed." >&2
			status=1
			break
		fi
		sleep 0.1
	done
done
exit $status
