# shellcheck shell=bash
# How a step of tests/chroot is told: "ok TEXT (N s)", or "not ok TEXT" and what it wrote, and the end. Sourced.

# step TEXT COMMAND...: the command ends at the first failure in it; what it writes is kept for the case of one.
step() {
	local text=$1 log began=$SECONDS status
	shift
	log=$(mktemp)
	# In a condition, `set -e` would not count within the command.
	set +e
	(
		set -e
		"$@"
	) >"$log" 2>&1 </dev/null
	status=$?
	set -e
	if [ "$status" -ne 0 ]; then
		echo "not ok $text: ended with $status after $((SECONDS - began)) s and wrote:"
		tail -n 200 "$log"
		rm -f "$log"
		exit 1
	fi
	rm -f "$log"
	echo "ok $text ($((SECONDS - began)) s)"
}
