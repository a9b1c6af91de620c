"""The structural schemas of RayService and RayJob, so that their manifests apply.

The schemas are KubeRay 1.7's surface, built from the RayCluster's own. No controller acts on RayJobs yet.
"""

from headstay.model.ray_schema import (
    Schema,
    array,
    boolean,
    conditions,
    embedded,
    fields,
    integer,
    managed_by,
    mapping,
    moment,
    raycluster_spec,
    raycluster_status,
    text,
)

_POLICIES = ["DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"]


def rayservice_spec() -> Schema:
    upgrade_options = fields(
        {
            "maxSurgePercent": integer("How much of the new cluster may run beside the old one.", default=100),
            "stepSizePercent": integer("How much traffic moves in one step."),
            "intervalSeconds": integer("Seconds between two steps."),
            "gatewayClassName": text("GatewayClass of the Gateway that splits the traffic."),
        },
        "Pace of an incremental upgrade.",
        required=("gatewayClassName", "intervalSeconds", "stepSizePercent"),
    )
    return fields(
        {
            "rayClusterConfig": raycluster_spec(),
            "serveConfigV2": text("Applications to serve: Ray Serve's configuration as a YAML text."),
            "upgradeStrategy": fields(
                {
                    "type": text("NewCluster, NewClusterWithIncrementalUpgrade or None."),
                    "clusterUpgradeOptions": upgrade_options,
                },
                "How a changed cluster specification reaches users.",
            ),
            "rayClusterDeletionDelaySeconds": integer(
                "Seconds for which a replaced cluster is kept. 60 when unset.", minimum=0
            ),
            "serveService": embedded("Base of the Service in front of the Serve proxies", "Service"),
            "excludeHeadPodFromServeSvc": boolean("Whether the head Pod stays out of the serve Service."),
            "suspend": boolean("True deletes the clusters of this service."),
            "managedBy": managed_by(),
            "serviceUnhealthySecondThreshold": integer("Deprecated and ignored."),
            "deploymentUnhealthySecondThreshold": integer("Deprecated and ignored."),
        },
        "What the service should be.",
        required=("rayClusterConfig",),
    )


def rayservice_status() -> Schema:
    deployment = fields(
        {"status": text(), "message": text(), "healthLastUpdateTime": moment()}, "State of one deployment."
    )
    application = fields(
        {
            "status": text(),
            "message": text(),
            "healthLastUpdateTime": moment(),
            "serveDeploymentStatuses": mapping("State of each deployment by name.", deployment),
        },
        "State of one application.",
    )
    cluster = {
        "rayClusterName": text("Name of the RayCluster."),
        "rayClusterStatus": raycluster_status(),
        "applicationStatuses": mapping("State of each application by name.", application),
        "targetCapacity": integer("Percentage of replicas this cluster should hold."),
        "trafficRoutedPercent": integer("Percentage of traffic routed to this cluster."),
        "lastTrafficMigratedTime": moment("When traffic last moved."),
    }
    return fields(
        {
            "serviceStatus": text("Running, or empty while not ready."),
            "activeServiceStatus": fields(cluster, "The cluster that serves."),
            "pendingServiceStatus": fields(cluster, "The cluster that will serve next."),
            "numServeEndpoints": integer("Number of Pods behind the serve Service."),
            "conditions": conditions(),
            "lastUpdateTime": moment("When this status was last written."),
            "observedGeneration": integer("The metadata.generation this status was computed for.", bits=64),
        },
        "What the operator last saw of the service.",
    )


def _deletion_strategy() -> Schema:
    policy = text("What to delete.", enum=_POLICIES)
    legacy = fields({"policy": policy}, required=("policy",))
    condition = fields(
        {
            "jobStatus": text("The job's final state.", enum=["SUCCEEDED", "FAILED"]),
            "jobDeploymentStatus": text("The RayJob's final state.", enum=["Failed"]),
            "ttlSeconds": integer("Seconds to wait once the condition holds.", default=0, minimum=0),
        },
        "When the rule applies.",
    )
    rule = fields({"policy": policy, "condition": condition}, required=("condition", "policy"))
    return fields(
        {
            "deletionRules": array(rule, "Rules; where several are due, the most thorough wins.", minItems=1),
            "onSuccess": legacy | {"description": "Deprecated: use deletionRules."},
            "onFailure": legacy | {"description": "Deprecated: use deletionRules."},
        },
        "What is deleted when the job has finished.",
    )


def rayjob_spec() -> Schema:
    number: Schema = {"type": "number", "format": "float"}
    return fields(
        {
            "rayClusterSpec": raycluster_spec(),
            "clusterSelector": mapping("Labels of an existing RayCluster to run on."),
            "entrypoint": text("Command that runs the job."),
            "submissionMode": text(
                "Who submits the job: K8sJobMode, HTTPMode, InteractiveMode or SidecarMode.", default="K8sJobMode"
            ),
            "submitterPodTemplate": embedded("Template of the submitting Pod", "PodTemplateSpec"),
            "submitterConfig": fields(
                {"backoffLimit": integer("Retries of the submitter.")}, "Settings of the submitter."
            ),
            "runtimeEnvYAML": text("Ray runtime environment as a YAML text."),
            "metadata": mapping("Metadata stored with the Ray job."),
            "jobId": text("Submission ID; generated when unset."),
            "entrypointNumCpus": number | {"description": "CPUs reserved for the entrypoint."},
            "entrypointNumGpus": number | {"description": "GPUs reserved for the entrypoint."},
            "entrypointResources": text("Custom resources reserved for the entrypoint, as JSON."),
            "activeDeadlineSeconds": integer("Seconds after which the job is ended."),
            "preRunningDeadlineSeconds": integer("Seconds within which the job must start to run.", minimum=1),
            "backoffLimit": integer("Retries; each on a new RayCluster.", default=0),
            "shutdownAfterJobFinishes": boolean("Whether the RayCluster goes when the job has finished."),
            "ttlSecondsAfterFinished": integer("Seconds before it goes.", default=0),
            "suspend": boolean("True holds the job back or deletes its RayCluster."),
            "managedBy": managed_by(),
            "deletionStrategy": _deletion_strategy(),
        },
        "What the job should be.",
    )


def rayjob_status() -> Schema:
    return fields(
        {
            "jobId": text("Submission ID of the Ray job."),
            "jobStatus": text("State of the Ray job."),
            "jobDeploymentStatus": text("State of the RayJob."),
            "rayClusterName": text("Name of the RayCluster the job runs on."),
            "rayClusterStatus": raycluster_status(),
            "rayJobInfo": fields({"startTime": moment(), "endTime": moment()}, "What the dashboard says of the job."),
            "dashboardURL": text("Address of the dashboard."),
            "reason": text("Why the job failed."),
            "message": text("The same for people."),
            "startTime": moment("When the RayJob started."),
            "endTime": moment("When the RayJob ended."),
            "succeeded": integer("Number of successful runs.", default=0),
            "failed": integer("Number of failed runs.", default=0),
            "observedGeneration": integer("The metadata.generation this status was computed for.", bits=64),
        },
        "What the operator last saw of the job.",
    )
