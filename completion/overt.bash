# Completion of overt for bash: verbs, actions, options and the values they take. Source it, or put it at
# /usr/share/bash-completion/completions/overt. Needs nothing but bash.

# Options that take no value, and options that do, for one verb: set in `flags` and `values`.
_overt_options()
{
	local both_values="--config --state --rules --trust --crl --upstream-proxy --jsonl --pcapng --keylog --metrics
		--log --connections --hello-size --ring --leaf-cache --session-cache --dns-cache
		--refusal-cache --hello-timeout --dns-timeout --connect-timeout --handshake-timeout --idle-timeout
		--drain-timeout --refusal-lifetime"
	local both_flags="--help -h --quiet -q --verbose -v --lossless --show-secrets"
	case $1 in
	proxy)
		flags="$both_flags --single --print-nft --accord-upstream"
		values="$both_values --ca-cert --ca-key --listen --accept-proxy-protocol --proxy-auth --tproxy-source
			--send-proxy-protocol --operator --contact --purpose --retention --disclosure-url --audit-failure
			--user --workers --connections-per-client --accord --accord-role --accord-purpose --accord-rate
			--accord-burst --accord-server --server-cert --server-key"
		;;
	exec)
		flags="$both_flags --share"
		values="$both_values --accord --accord-rule --accord-server --proxy --role --proxy-name --approval-key
			--interface --plaintext --export-objects --late --deadline --mode --rotate-bytes
			--rotate-seconds --rotate-when --collector --certificate --key --ca --grants --signer --audit --ack --door --readers"
		;;
	tour)
		flags="--help -h --json --no-color --no-pause"
		values="--keep --serve --html"
		;;
	explain)
		flags="--help -h --json --no-color"
		values="--html --host --timeout --capture --keys --psk --connection"
		;;
	watch)
		flags="--help -h --promiscuous -p --follow -F --show-secrets --quiet -q --verbose -v"
		values="--read -r --interface -i --filter -f --connect --keys -k --private-key --psk --format -T --jsonl
			--pcapng -w --plaintext --plaintext-pcapng --export-objects --workers -j --connections --wait --wait-memory
			--collector --bus --consumer --log --reader-key --certificate --certificate-key --collector-ca"
		;;
	collect)
		flags="--help -h --verbose -v --follow -F"
		values="--dir -d --listen -l --signer -s --grants --log --certificate --key --ca --lifetime --memory --client-memory --client-connections --patience --metrics --user
			--clients --rate --spool --name -n --collector -c --reader-key -k --certificate-key --keylog -o --dsb -w --enough
			--bus -b --site --bus-certificate --bus-key --bus-ca --bus-wait --consumer --node --reader --at --store --size
			--replicas"
		;;
	grant)
		flags="--help -h --until-reader"
		values="--dir -d --signer -s --signers --reader -r --reader-key -k --certificate --name -n --direction --mode --consent
			--reason --purpose -p --grade --sender --until -u --until-bytes --until-seconds --log"
		;;
	get)
		flags="--help -h --explain -e --json -j --quiet -q"
		values="--accord -a --proxy -x --trust --accord-rule --role --proxy-name --approval-key --save-proof --timeout --max-size"
		;;
	local)
		flags="--help -h --verbose -v"
		values="--accord -a --proxy -x --trust --accord-rule --role --proxy-name --listen --state --retention --jsonl"
		;;
	accord)
		flags="--help -h --at-present --json -j"
		values="--state --name --accord -a --trust --proxy-name"
		;;
	assess)
		flags="--help -h --json -j --no-color --direct --listener"
		values="--html --at-least --timeout --total --pause --name --trust --ca --origin --origin-port --expect --proxy
			--listen --clients --web-roots"
		;;
	ca)
		flags="--help -h --everything"
		values="--state --permit --format --lead --system-dir --nss"
		;;
	check)
		flags="--help -h --client-certificate --accord-server"
		values="--state --name --connect --client --server --port --protocol --alpn --ja4 --refused --verification --issuer"
		;;
	log)
		flags="--help -h --unilateral --closed --json -j"
		values="--state --log --kind -k --since --before --key --checkpoint -c --witness --proof --line -n --from --out -o
			--as --name"
		;;
	refusals)
		flags="--help -h"
		values="--state"
		;;
	version)
		flags="--help -h"
		values=""
		;;
	esac
}

# Words for COMPREPLY, one per line and never split at blanks.
_overt_reply()
{
	local word
	COMPREPLY=()
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done
}

_overt_value()
{
	local option=$1 current=$2 verb=$3
	case $verb$option in
	exec--accord-server | exec--approval-key | proxy--accord-server | proxy--server-cert | proxy--server-key)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		return
		;;
	exec--accord | get--accord | get-a | local--accord | local-a | accord--accord | accord-a | get--save-proof | get--approval-key)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		return
		;;
	log--log | log--key | log--checkpoint | log-c | log--witness | log--proof | log--from | log--out | log-o)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		return
		;;
	assess--at-least)
		_overt_reply < <(compgen -W "A B C" -- "$current")
		return
		;;
	assess--html | assess--ca | assess--expect | assess--web-roots)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		return
		;;
	assess--origin)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -d -- "$current")
		return
		;;
	tour--keep | tour--serve)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -d -- "$current")
		return
		;;
	explain--html | tour--html | explain--capture | explain--keys | explain--psk)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		return
		;;
	log--as)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -d -- "$current")
		return
		;;
	log--kind | log-k)
		_overt_reply < <(compgen -W "start stop snapshot inspected keylog ca repaired resumed continues continued proof approval
			grant revoke release refusal read collector" -- "$current")
		return
		;;
	proxy--accord)
		_overt_reply < <(compgen -W "off prefer require" -- "$current")
		return
		;;
	proxy--accord-purpose)
		_overt_reply < <(compgen -W "unstated malware data-loss acceptable-use diagnosis caching archiving" -- "$current")
		return
		;;
	proxy--accord-role)
		_overt_reply < <(compgen -W "reader writer" -- "$current")
		return
		;;
	get--accord-rule | local--accord-rule)
		_overt_reply < <(compgen -W "require prefer" -- "$current")
		return
		;;
	get--role | local--role)
		_overt_reply < <(compgen -W "reader writer both" -- "$current")
		return
		;;
	collect--dir | collect-d | collect--grants | collect--at | grant--dir | grant-d)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -d -- "$current")
		return
		;;
	collect--signer | collect-s | collect--log | collect--certificate | collect--key | collect--ca | collect--spool | \
		collect--reader-key | collect-k | collect--certificate-key | collect--bus-certificate | collect--bus-key | \
		collect--bus-ca | collect-o | collect--dsb | watch--reader-key | \
		watch--certificate | watch--certificate-key | watch--collector-ca | watch--log | grant--signer | grant-s | grant--signers | \
		grant--reader-key | grant-k | grant--log)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		return
		;;
	grant--direction)
		_overt_reply < <(compgen -W "client server both" -- "$current")
		return
		;;
	grant--mode)
		_overt_reply < <(compgen -W "live after-rotation" -- "$current")
		return
		;;
	grant--consent)
		_overt_reply < <(compgen -W "both unilateral" -- "$current")
		return
		;;
	grant--grade)
		_overt_reply < <(compgen -W "record raw" -- "$current")
		return
		;;
	watch--format | watch-T)
		_overt_reply < <(compgen -W "jsonl" -- "$current")
		return
		;;
	exec--certificate | exec--key | exec--ca | exec--signer | exec--audit | exec--door | exec--readers)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		return
		;;
	exec--late)
		_overt_reply < <(compgen -W "open closed" -- "$current")
		return
		;;
	exec--mode)
		_overt_reply < <(compgen -W "live after-rotation" -- "$current")
		return
		;;
	exec--rotate-when)
		_overt_reply < <(compgen -W "writes calls" -- "$current")
		return
		;;
	exec--ack)
		_overt_reply < <(compgen -W "host collector" -- "$current")
		return
		;;
	watch--interface | watch-i | exec--interface)
		_overt_reply < <(compgen -W "any $(ls /sys/class/net 2>/dev/null)" -- "$current")
		return
		;;
	watch--plaintext | watch--export-objects | exec--plaintext | exec--export-objects | exec--grants)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -d -- "$current")
		return
		;;
	esac
	case $option in
	--config | --rules | --trust | --crl | --ca-cert | --ca-key | --proxy-auth | --jsonl | --pcapng | --keylog | --read | -r | --keys | \
		-k | --private-key | --psk | -w | --plaintext-pcapng)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		;;
	--state | --system-dir | --nss)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -d -- "$current")
		;;
	--user) _overt_reply < <(compgen -u -- "$current") ;;
	--tproxy-source) _overt_reply < <(compgen -W "proxy client" -- "$current") ;;
	--send-proxy-protocol) _overt_reply < <(compgen -W "off v1 v2" -- "$current") ;;
	--audit-failure) _overt_reply < <(compgen -W "block bypass" -- "$current") ;;
	--log) _overt_reply < <(compgen -W "stderr journal file:" -- "$current") ;;
	--format) _overt_reply < <(compgen -W "pem der" -- "$current") ;;
	--protocol) _overt_reply < <(compgen -W "tls http plain" -- "$current") ;;
	*) COMPREPLY=() ;;
	esac
}

# Whether the word before the cursor is an option that waits for its value.
_overt_waits()
{
	local word
	for word in $values; do
		[[ $word == "$1" ]] && return 0
	done
	return 1
}

# Behind the options of exec stands a command with words of its own: the place of its first word, or nothing.
_overt_command_at()
{
	local i
	for ((i = 2; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			echo $((i + 1))
			return
		elif [[ ${COMP_WORDS[i]} != -* ]] && ! _overt_waits "${COMP_WORDS[i - 1]}"; then
			echo "$i"
			return
		fi
	done
}

_overt_exec_command()
{
	local at=$1 current=$2
	if ((COMP_CWORD == at)); then
		_overt_reply < <(compgen -c -- "$current")
	elif declare -F _command_offset >/dev/null; then
		_command_offset "$at"
	else
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
	fi
}

_overt()
{
	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
	local flags="" values="" at=""
	COMPREPLY=()
	# bash cuts --option=VALUE at the sign.
	if [[ $current == "=" ]]; then
		current=""
	elif [[ $before == "=" ]] && ((COMP_CWORD > 2)); then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if ((COMP_CWORD == 1)); then
		_overt_reply < <(compgen -W "proxy exec explain watch collect grant get local accord assess tour ca check log refusals version help --help --version" -- "$current")
		return
	fi
	_overt_options "$verb"
	if [[ $verb == exec ]]; then
		at=$(_overt_command_at)
		if [[ -n $at ]]; then
			_overt_exec_command "$at" "$current"
			return
		fi
	fi
	if _overt_waits "$before"; then
		_overt_value "$before" "$current" "$verb"
	elif [[ $current == -* ]]; then
		_overt_reply < <(compgen -W "$flags $values" -- "$current")
	elif [[ $verb == exec ]]; then
		_overt_exec_command "$COMP_CWORD" "$current"
	elif [[ $verb == help ]]; then
		_overt_reply < <(compgen -W "proxy exec explain watch collect grant get local accord assess tour ca check log refusals version" -- "$current")
	elif [[ $verb == ca ]] && ((COMP_CWORD == 2)); then
		_overt_reply < <(compgen -W "show install remove export rotate" -- "$current")
	elif [[ $verb == collect ]] && ((COMP_CWORD == 2)); then
		_overt_reply < <(compgen -W "init client fetch bus" -- "$current")
	elif [[ $verb == collect && ${COMP_WORDS[2]:-} == bus ]] && ((COMP_CWORD == 3)); then
		_overt_reply < <(compgen -W "nodes streams show rewind purge" -- "$current")
	elif [[ $verb == grant ]] && ((COMP_CWORD == 2)); then
		_overt_reply < <(compgen -W "key signer new list show revoke" -- "$current")
	elif [[ $verb == assess ]] && ((COMP_CWORD == 2)); then
		_overt_reply < <(compgen -W "server client path proxy root" -- "$current")
	elif [[ $verb == explain ]] && ((COMP_CWORD == 2)); then
		_overt_reply < <(compgen -W "dropout schedule visibility readonly accord" -- "$current")
	elif [[ $verb == log ]] && ((COMP_CWORD == 2)); then
		_overt_reply < <(compgen -W "show verify prove witness" -- "$current")
	elif [[ $verb == accord ]] && ((COMP_CWORD == 2)); then
		_overt_reply < <(compgen -W "init show verify" -- "$current")
	elif [[ ($verb == grant && (${COMP_WORDS[2]} == show || ${COMP_WORDS[2]} == revoke)) || ($verb == accord && ${COMP_WORDS[2]} == verify) || ($verb == log && ${COMP_WORDS[2]} == witness) || $verb == check || $verb == watch || ($verb == ca && ${COMP_WORDS[2]} == export) ]]; then
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
	fi
}

complete -F _overt overt
