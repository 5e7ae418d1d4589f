#!/usr/bin/env bash
# Package an application with adjourn's functions and deploy both with Terraform.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

usage() {
  cat <<'TEXT'
Usage: deploy.sh package APP [packaging options] [--environment NAME] [--dry-run]
       deploy.sh plan    APP [packaging options] [Terraform options] [--dry-run]
       deploy.sh deploy  APP [packaging options] [Terraform options] [--yes] [--dry-run]
       deploy.sh apply   [Terraform options] [--yes] [--dry-run]
       deploy.sh destroy [Terraform options] [--yes] [--dry-run]
       deploy.sh output  NAME [Terraform options] [--dry-run]

  package   put the application (package.module:app) and each function into a
            zip in build/, and what the application declares beside them
  plan      package, then show what Terraform would change, and keep the plan;
            fails if the application uses a queue or a cron name that Terraform
            lacks, or if a queue would be removed that is not to be
  deploy    plan, ask if there is something to change, and apply that plan
  apply     ask, and apply the plan that an earlier call of plan has kept
  destroy   show what Terraform would remove, ask, and remove it
  output    print an output of what was applied, a text as it is

Packaging options:
  --source DIR         folder from which the application is imported
                       (default: the current one)
  --include PATH       folder or file to take, relative to the source; may be
                       repeated (default: the application's top-level package)
  --allow PATH         file or folder to take although it looks like a secret
                       or like data; may be repeated
  --requirements FILE  its pinned requirements
                       (default: requirements.txt in the source, if there)
  --without-hashes     package requirements without hashes
  --queue NAME         queue of whatever names none (default: ADJOURN_QUEUE,
                       else default)
  --service            package nothing but what the application declares: a
                       service of yours serves the functions (Terraform's
                       variable service)

Terraform options:
  --environment NAME   which deployment it is: each has its own folder in
                       build/, its own data folder, and its own state where
                       that is local (default: the name of the last -var-file
                       without its endings, else default)
  -chdir=DIR           folder of the configuration (default: terraform, beside
                       this script)
  -var-file=FILE       file of variables; may be repeated
  -var=NAME=VALUE      one variable; may be repeated
  -backend-config=WHAT file or NAME=VALUE for terraform init; may be repeated
  -lock-timeout=TIME   how long to wait for the lock of the state, such as 5m

  --yes                do not ask
  --dry-run            check everything that can be checked without writing,
                       and print the commands instead of running them
  -h, --help           print this

PYTHON names a Python that has adjourn-local and what the application imports
(default: the one in .venv, which `make venv` makes), TERRAFORM a program
(default: terraform, else tofu).
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
refuse() { rm -f "$2" && exit "$1"; }

absolute() {
  case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$PWD" "$1" ;;
  esac
}

package() {
  if [[ $is_served ]]; then
    # Else Terraform would take an older package for that of the functions.
    run rm -f "$build/manifest.json"
    declare_from "$source"
    return
  fi
  local options=(--source "$source" --output "$build" ${packaging[@]+"${packaging[@]}"})
  if [[ $is_dry ]]; then
    adjourn package "$app" "${options[@]}" --dry-run
  else
    adjourn package "$app" "${options[@]}"
  fi
  # Imported from what was packaged, so that a module that was left out is missed here.
  declare_from "$build/deferred" || refuse "$?" "$build/manifest.json"
}

# declare_from FOLDER: write what the application that is imported from there declares.
declare_from() {
  run adjourn export tfvars "$app" --source "$1" --output "$declared" ${exporting[@]+"${exporting[@]}"}
}

# Each environment has its data folder, in which its backend is noted, and its package.
choose_folders() {
  if [[ -z ${TF_DATA_DIR-} && $environment != default ]]; then
    TF_DATA_DIR=$(absolute "$chdir")/.terraform-$environment
    export TF_DATA_DIR
  fi
  # The same in every checkout, so that a plan can be applied in another one; build/ is the module's default.
  if [[ -z ${TF_VAR_package-} && ! ($chdir -ef $here/terraform && $environment == default) ]]; then
    export TF_VAR_package=$build
    [[ $chdir -ef $here/terraform ]] && TF_VAR_package=../build/$environment
  fi
  data=${TF_DATA_DIR:-$chdir/.terraform}
}

# A remote state is the environment's own by its backend's settings, a local one by its workspace.
choose_state() {
  local noted=$data/terraform.tfstate
  [[ $environment == default || -n ${TF_WORKSPACE-} ]] && return
  if [[ -f $noted ]] && { ! grep -q '"type": "local"' "$noted" || grep -q '"path": "' "$noted"; }; then
    return
  fi
  local own=terraform.tfstate.d/$environment/terraform.tfstate
  if [[ -f $chdir/terraform.tfstate && ! -f $chdir/$own ]] && grep -q '"mode"' "$chdir/terraform.tfstate"; then
    die "$chdir/terraform.tfstate is the state of an environment without a name. Is it that of $environment? Then move it to $chdir/$own. Else move it to where its own belongs."
  fi
  export TF_WORKSPACE=$environment
}

initialise() {
  if [[ ! -d $data || ${#backend[@]} -gt 0 ]]; then
    run "$terraform" -chdir="$chdir" init -input=false \
      ${backend[@]+-reconfigure "${backend[@]}"}
  fi
  choose_state
}

# plan_with OPTIONS: keep a plan, which may hold secrets, where only its owner can read it; note
# whether there is something to change.
plan_with() {
  local status=0
  initialise
  run mkdir -p "$build"
  (umask 077 && run "$terraform" -chdir="$chdir" plan -input=false -detailed-exitcode -out="$plan" \
    ${locking[@]+"${locking[@]}"} ${variables[@]+"${variables[@]}"} "$@") || status=$?
  ((status == 0 || status == 2)) || refuse "$status" "$plan"
  ((status == 0)) && [[ ! $is_dry ]] && is_same=yes
  return 0
}

check() {
  if [[ $is_dry ]]; then
    echo "+ $terraform -chdir=$(printf %q "$chdir") show -json $(printf %q "$plan") | adjourn export check -"
  else
    "$terraform" -chdir="$chdir" show -json "$plan" | adjourn export check --declared "$declared" - ||
      refuse "$?" "$plan"
  fi
}

# apply QUESTION: apply the plan if whoever runs this agrees.
apply() {
  local answer=y
  if [[ $is_same ]]; then
    echo "There is nothing to change."
    rm -f "$plan"
    return
  fi
  if [[ ! $is_agreed && ! $is_dry ]]; then
    read -r -p "$1 [y/N] " answer || true
  fi
  case $answer in
    y | Y | yes) run "$terraform" -chdir="$chdir" apply -input=false ${locking[@]+"${locking[@]}"} "$plan" ;;
    *)
      echo "Nothing was changed."
      refuse 1 "$plan"
      ;;
  esac
  run rm -f "$plan"
}

# output NAME: only the output goes to stdout.
output() {
  initialise >&2
  # Where nothing was applied, Terraform only warns.
  if [[ ! $is_dry && $("$terraform" -chdir="$chdir" output -json) == '{}' ]]; then
    printf 'deploy.sh: %s\n' "Nothing was applied in the environment $environment, or without outputs." >&2
    exit 1
  fi
  if [[ ! $is_dry ]] && "$terraform" -chdir="$chdir" output -raw "$1" 2>/dev/null; then
    return
  fi
  run "$terraform" -chdir="$chdir" output -no-color "$1" # not a text
}

take() {
  [[ $2 ]] || die "$1 needs a value."
  case $1 in
    --source) source=$2 ;;
    --include | --requirements | --allow) packaging+=("$1" "$2") ;;
    --queue) exporting+=("$1" "$2") ;;
    --environment) environment=$2 ;;
    -chdir) chdir=$2 ;;
    -var) variables+=("-var=$2") ;;
    -lock-timeout) locking=("-lock-timeout=$2") ;;
    -backend-config)
      # A file is where we are, not where Terraform runs.
      [[ $2 == *=* ]] && backend+=("$1=$2") || backend+=("$1=$(absolute "$2")")
      ;;
    -var-file)
      [[ -f $2 ]] || die "There is no file of variables $2."
      variables+=("-var-file=$(absolute "$2")")
      named=${2##*/}
      named=${named%%.*}
      ;;
  esac
}

app='' source=. chdir=$here/terraform environment='' named='' is_agreed='' is_dry='' is_same='' is_served=''
packaging=() exporting=() variables=() backend=() locking=()
python=${PYTHON:-$here/.venv/bin/python} terraform=${TERRAFORM:-terraform}

command=${1-}
shift || true
for_package=' --source --include --allow --requirements --without-hashes --queue --service --environment '
for_terraform=' --environment -chdir -var -var-file -backend-config -lock-timeout '
case $command in
  package) allowed=$for_package ;;
  plan) allowed=$for_package$for_terraform ;;
  deploy) allowed="$for_package$for_terraform --yes " ;;
  apply | destroy) allowed="$for_terraform --yes " ;;
  output) allowed=$for_terraform ;;
  -h | --help | help) usage && exit ;;
  '') usage >&2 && exit 2 ;;
  *) die "There is no command $command; see deploy.sh --help." ;;
esac

while (($#)); do
  name=${1%%=*}
  case $name in --chdir | --var | --var-file | --backend-config | --lock-timeout) name=${name#-} ;; esac
  case $1 in
    -h | --help) usage && exit ;;
    --dry-run) is_dry=yes ;;
    -*)
      [[ $allowed == *" $name "* ]] || die "$command takes no option $name; see deploy.sh --help."
      case $1 in
        --yes) is_agreed=yes ;;
        --without-hashes) packaging+=("$1") ;;
        --service) is_served=yes ;;
        --yes=* | --without-hashes=* | --service=*) die "$name takes no value." ;;
        *=*) take "$name" "${1#*=}" ;;
        *)
          (($# > 1)) || die "$name needs a value."
          take "$name" "$2"
          shift
          ;;
      esac
      ;;
    *)
      [[ $command != destroy && $command != apply && -z $app ]] ||
        die "$command takes no argument $1; see deploy.sh --help."
      app=$1
      ;;
  esac
  shift
done

[[ ! $is_served || ${#packaging[@]} -eq 0 ]] ||
  die "--service packages nothing, so ${packaging[0]} has no effect; remove one of them."
environment=${environment:-${named//[^A-Za-z0-9_-]/-}}
environment=${environment:-default}
[[ $environment =~ ^[A-Za-z0-9][A-Za-z0-9_-]*$ ]] ||
  die "The environment $environment must have letters, digits, hyphens and underscores only; give --environment."
case $environment in
  default) build=$here/build ;;
  deferred | cron | queryiter) die "The environment $environment has the name of a function; give another --environment." ;;
  *) build=$here/build/$environment ;;
esac
declared=$build/adjourn.auto.tfvars.json
plan=$build/adjourn.tfplan

if [[ $command == output ]]; then
  [[ $app ]] || die "Say which output to print: deploy.sh output NAME"
elif [[ $command != destroy && $command != apply ]]; then
  [[ $app ]] || die "Say which application to package: deploy.sh $command package.module:app"
  [[ -x $(command -v "$python") ]] || die "There is no Python $python; run \`make venv\` in $here, or set PYTHON."
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$python is not Python 3.11 or newer."
fi
if [[ $command != package ]]; then
  if [[ -z ${TERRAFORM-} ]] && ! command -v terraform >/dev/null && command -v tofu >/dev/null; then
    terraform=tofu
  fi
  command -v "$terraform" >/dev/null ||
    die "$terraform is not on the PATH; install Terraform or OpenTofu 1.7 or newer, or set TERRAFORM."
  [[ -d $chdir ]] || die "There is no folder $chdir for -chdir."
  choose_folders
fi
if [[ $command != package && $command != plan && $command != output && ! $is_agreed && ! $is_dry && ! -t 0 ]]; then
  die "There is no terminal to ask for confirmation; give --yes."
fi

case $command in
  package) package ;;
  output) output "$app" ;;
  apply)
    [[ -f $plan || $is_dry ]] || die "There is no plan $plan; run deploy.sh plan first."
    initialise
    apply "Apply the plan of $environment?"
    ;;
  destroy)
    plan_with -destroy
    apply "Remove all of it for good?"
    ;;
  *)
    package
    plan_with
    check
    [[ $command == plan ]] || apply "Apply this plan?"
    ;;
esac
