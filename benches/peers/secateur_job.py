"""The job here."""

import job

# the job
import secateur

secateur.prune(job.MODEL, output=job.OUTPUT, macs=0.5, calibration=job.CALIBRATION, tune=True)
# done

job.report("secateur", ("secateur",), "")
