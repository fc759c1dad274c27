#!/bin/bash
#SBATCH --job-name=epure-train
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120   # this shell, and only this shell, is told 120 s before the time is up
#SBATCH --requeue
#SBATCH --open-mode=append    # one log, however often it begins again
#SBATCH --output=%x-%j.log
#
# Trains a model; where the time does not suffice, saves, queues itself again and goes on.
#
#     sbatch train.sh vae --data tyres --budget 10h
#     RUNS=elsewhere sbatch train.sh mdm

model=${1:?"which model? sbatch train.sh MODEL [options of epure train]"}
shift
out=${RUNS:-jobs}/$SLURM_JOB_ID   # the same number after a requeue

saved() { ls -t "$out"/*/state.safetensors 2>/dev/null | head -n 1; }

state=$(saved)
if [ -n "$state" ]; then
    epure train "$model" --resume "$(dirname "$state")" &
else
    epure train "$model" --out "$out" "$@" &
fi
child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM

wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do   # a signal ends `wait`, not the training, which saves first
    wait "$child"
    code=$?
done

if [ "$code" -eq 143 ] && [ -n "$(saved)" ]; then   # stopped by SIGTERM; where nothing was saved it would never end
    scontrol requeue "$SLURM_JOB_ID"
    exit
fi
exit "$code"
