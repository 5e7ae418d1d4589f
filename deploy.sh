#!/usr/bin/env bash
# Package an application with adjourn's functions and deploy both with Terraform.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
build=$here/build
declared=$build/adjourn.auto.tfvars.json
plan=$build/adjourn.tfplan

usage() {
  cat <<'TEXT'
Usage: deploy.sh package APP [packaging options] [--dry-run]
       deploy.sh plan    APP [packaging options] [Terraform options] [--dry-run]
       deploy.sh deploy  APP [packaging options] [Terraform options] [--yes] [--dry-run]
       deploy.sh destroy [Terraform options] [--yes] [--dry-run]

  package   put the application (package.module:app) and each function into a
            zip in build/, and what the application declares beside them
  plan      package, then show what Terraform would change; fails if the
            application uses a queue or a cron name that Terraform lacks
  deploy    plan, ask, and apply exactly that plan
  destroy   show what Terraform would remove, ask, and remove it

Packaging options:
  --source DIR         folder from which the application is imported
                       (default: the current one)
  --include PATH       folder or file to take, relative to the source; may be
                       repeated (default: the application's top-level package)
  --requirements FILE  its pinned requirements
                       (default: requirements.txt in the source, if there)
  --queue NAME         queue of whatever names none (default: ADJOURN_QUEUE,
                       else default)

Terraform options:
  -chdir=DIR           folder of the configuration (default: terraform, beside
                       this script)
  -var-file=FILE       file of variables; may be repeated

  --yes                do not ask
  --dry-run            check everything that can be checked without writing,
                       and print the commands instead of running them
  -h, --help           print this

PYTHON names a Python that has adjourn-local and what the application imports
(default: the one in .venv, which `make venv` makes).
TEXT
}

die() {
  printf 'deploy.sh: %s\n' "$1" >&2
  exit 2
}

# Whatever changes anything goes through here.
run() {
  if [[ $is_dry ]]; then
    printf '+'
    printf ' %q' "$@"
    printf '\n'
  else
    "$@"
  fi
}

# -P: modules come from where we say, not from the current folder; -B: nothing is written.
adjourn() {
  PYTHONPATH=$here/shared:$here/local${PYTHONPATH:+:$PYTHONPATH} "$python" -P -B -m adjourn_local "$@"
}

# refuse STATUS FILE: end, and leave nothing that Terraform would take.
refuse() {
  rm -f "$2"
  exit "$1"
}

absolute() {
  case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$PWD" "$1" ;;
  esac
}

package() {
  local options=(--source "$source" --output "$build" ${packaging[@]+"${packaging[@]}"})
  if [[ $is_dry ]]; then
    adjourn package "$app" "${options[@]}" --dry-run
  else
    adjourn package "$app" "${options[@]}"
  fi
  # Imported from what was packaged, so that a module that was left out is missed here.
  run adjourn export tfvars "$app" --source "$build/deferred" --output "$declared" \
    ${exporting[@]+"${exporting[@]}"} || refuse "$?" "$build/manifest.json"
}

# plan_with OPTIONS: keep a plan, which may hold secrets, where only its owner can read it.
plan_with() {
  if [[ ! -d $chdir/.terraform && -z ${TF_DATA_DIR:-} ]]; then
    run terraform -chdir="$chdir" init -input=false
  fi
  run mkdir -p "$build"
  (umask 077 && run terraform -chdir="$chdir" plan -input=false -out="$plan" \
    ${variables[@]+"${variables[@]}"} "$@")
}

check() {
  if [[ $is_dry ]]; then
    echo "+ terraform -chdir=$(printf %q "$chdir") show -json $(printf %q "$plan") | adjourn export check -"
  else
    terraform -chdir="$chdir" show -json "$plan" | adjourn export check --declared "$declared" - ||
      refuse "$?" "$plan"
  fi
}

# apply QUESTION: apply the plan if whoever runs this agrees.
apply() {
  local answer=y
  if [[ ! $is_agreed && ! $is_dry ]]; then
    read -r -p "$1 [y/N] " answer || true
  fi
  case $answer in
    y | Y | yes) run terraform -chdir="$chdir" apply -input=false "$plan" ;;
    *)
      echo "Nothing was changed."
      refuse 1 "$plan"
      ;;
  esac
  run rm -f "$plan"
}

take() {
  [[ $2 ]] || die "$1 needs a value."
  case $1 in
    --source) source=$2 ;;
    --include | --requirements) packaging+=("$1" "$2") ;;
    --queue) exporting+=("$1" "$2") ;;
    -chdir) chdir=$2 ;;
    --yes) die "$1 takes no value." ;;
    -var-file)
      [[ -f $2 ]] || die "There is no file of variables $2."
      variables+=("-var-file=$(absolute "$2")")
      ;;
  esac
}

app='' source=. chdir=$here/terraform is_agreed='' is_dry=''
packaging=() exporting=() variables=()
python=${PYTHON:-$here/.venv/bin/python}

command=${1-}
shift || true
for_package=' --source --include --requirements --queue '
for_terraform=' -chdir -var-file '
case $command in
  package) allowed=$for_package ;;
  plan) allowed=$for_package$for_terraform ;;
  deploy) allowed="$for_package$for_terraform --yes " ;;
  destroy) allowed="$for_terraform --yes " ;;
  -h | --help | help) usage && exit ;;
  '') usage >&2 && exit 2 ;;
  *) die "There is no command $command; see deploy.sh --help." ;;
esac

while (($#)); do
  name=${1%%=*}
  [[ $name == --chdir || $name == --var-file ]] && name=${name#-}
  case $1 in
    -h | --help) usage && exit ;;
    --dry-run) is_dry=yes ;;
    -*)
      [[ $allowed == *" $name "* ]] || die "$command takes no option $name; see deploy.sh --help."
      if [[ $1 == --yes ]]; then
        is_agreed=yes
      elif [[ $1 == *=* ]]; then
        take "$name" "${1#*=}"
      else
        (($# > 1)) || die "$name needs a value."
        take "$name" "$2"
        shift
      fi
      ;;
    *)
      [[ $command != destroy && -z $app ]] || die "$command takes no argument $1; see deploy.sh --help."
      app=$1
      ;;
  esac
  shift
done

if [[ $command != destroy ]]; then
  [[ $app ]] || die "Say which application to package: deploy.sh $command package.module:app"
  [[ -x $(command -v "$python") ]] || die "There is no Python $python; run \`make venv\` in $here, or set PYTHON."
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$python is not Python 3.11 or newer."
fi
if [[ $command != package ]]; then
  command -v terraform >/dev/null || die "terraform is not on the PATH; install Terraform 1.7 or newer."
  [[ -d $chdir ]] || die "There is no folder $chdir for -chdir."
fi
if [[ $command == deploy || $command == destroy ]] && [[ ! $is_agreed && ! $is_dry && ! -t 0 ]]; then
  die "There is no terminal to ask for confirmation; give --yes."
fi

if [[ $command == destroy ]]; then
  plan_with -destroy
  apply "Remove all of it for good?"
  exit
fi
package
[[ $command == package ]] && exit
plan_with
check
[[ $command == plan ]] && exit
apply "Apply this plan?"
