"""Functions and what belongs to them, in a stack."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from .stack_kinds import Kind, Steps, Work, differ, only, retag


class Function(Kind):
    """AWS::Lambda::Function."""

    _CONFIGURATION = (
        "DeadLetterConfig",
        "Description",
        "Environment",
        "EphemeralStorage",
        "Handler",
        "Layers",
        "LoggingConfig",
        "MemorySize",
        "Role",
        "Runtime",
        "Timeout",
        "TracingConfig",
    )
    _DEFAULTS: dict[str, Any] = {
        "DeadLetterConfig": {"TargetArn": ""},
        "Description": "",
        "Environment": {"Variables": {}},
        "EphemeralStorage": {"Size": 512},
        "LoggingConfig": {"LogFormat": "Text"},
        "MemorySize": 128,
        "Timeout": 3,
        "TracingConfig": {"Mode": "PassThrough"},
    }
    properties = (
        *_CONFIGURATION,
        "Architectures",
        "Code",
        "FunctionName",
        "PackageType",
        "RecursiveLoop",
        "ReservedConcurrentExecutions",
        "Tags",
    )
    required = ("Code", "Role")
    replaced_by = ("FunctionName", "PackageType")
    name = "FunctionName"
    attributes = ("Arn",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Make the function and wait until it is Active."""
        name = str(properties.get("FunctionName") or work.new_name(64))
        direct = only(properties, (*self._CONFIGURATION, "Architectures", "PackageType"))
        made = work.call(
            "lambda",
            "CreateFunction",
            FunctionName=name,
            Code=self._code(properties),
            Tags=work.all_tags(properties),
            **direct,
        )
        work.physical_id = name
        work.attributes = {"Arn": made["FunctionArn"]}
        while self._described(work)["State"] == "Pending":
            yield
        self._reserve(work, {}, properties)
        self._let_loop(work, {}, properties)

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Change code and configuration, one after the other."""
        name = work.physical_id
        if differ(old, new, ("Code",)) or self._module(old) != self._module(new):
            work.call("lambda", "UpdateFunctionCode", FunctionName=name, **self._code(new))
            yield from self._updated(work)
        if differ(old, new, self._CONFIGURATION):
            changes = {key: new.get(key, self._DEFAULTS.get(key)) for key in self._CONFIGURATION if key in {*old, *new}}
            changes = {key: value for key, value in changes.items() if value is not None}
            work.call("lambda", "UpdateFunctionConfiguration", FunctionName=name, **changes)
            yield from self._updated(work)
        self._reserve(work, old, new)
        self._let_loop(work, old, new)
        retag(work, "lambda", "Resource", work.attributes["Arn"], old, new)

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete the function; its log group stays, as on AWS."""
        work.call("lambda", "DeleteFunction", FunctionName=work.physical_id)
        yield from ()

    @staticmethod
    def _described(work: Work) -> dict[str, Any]:
        return work.space.functions.get(work.physical_id).latest.describe()

    def _updated(self, work: Work) -> Steps:
        while self._described(work).get("LastUpdateStatus") == "InProgress":
            yield

    @staticmethod
    def _reserve(work: Work, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        key = "ReservedConcurrentExecutions"
        if old.get(key) == new.get(key):
            return
        if new.get(key) is None:
            work.call("lambda", "DeleteFunctionConcurrency", FunctionName=work.physical_id)
        else:
            work.call("lambda", "PutFunctionConcurrency", FunctionName=work.physical_id, **{key: new[key]})

    @staticmethod
    def _let_loop(work: Work, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        wanted = new.get("RecursiveLoop", "Terminate")
        if old.get("RecursiveLoop", "Terminate") != wanted:
            work.call("lambda", "PutFunctionRecursionConfig", FunctionName=work.physical_id, RecursiveLoop=wanted)

    @staticmethod
    def _module(properties: Mapping[str, Any]) -> str:
        return "index.py" if str(properties.get("Runtime", "python")).startswith("python") else "index.js"

    def _code(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return the code; a text in ZipFile becomes the one file `index.py`."""
        code = dict(properties["Code"])
        if "ZipFile" in code:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                # A fixed date: the same text gives the same CodeSha256.
                entry = zipfile.ZipInfo(self._module(properties), (1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, str(code["ZipFile"]))
            code["ZipFile"] = buffer.getvalue()
        return code


class EventSourceMapping(Kind):
    """AWS::Lambda::EventSourceMapping."""

    _CHANGEABLE = (
        "BatchSize",
        "BisectBatchOnFunctionError",
        "DestinationConfig",
        "Enabled",
        "FilterCriteria",
        "FunctionName",
        "FunctionResponseTypes",
        "KmsKeyArn",
        "MaximumBatchingWindowInSeconds",
        "MaximumRecordAgeInSeconds",
        "MaximumRetryAttempts",
        "MetricsConfig",
        "ParallelizationFactor",
        "ProvisionedPollerConfig",
        "ScalingConfig",
        "TumblingWindowInSeconds",
    )
    _DEFAULTS: dict[str, Any] = {
        "BatchSize": 10,
        "Enabled": True,
        "FilterCriteria": {},
        "FunctionResponseTypes": [],
        "MaximumBatchingWindowInSeconds": 0,
        "MetricsConfig": {"Metrics": []},
        "ProvisionedPollerConfig": {},
        "ScalingConfig": {},
    }
    properties = (*_CHANGEABLE, "EventSourceArn", "StartingPosition", "StartingPositionTimestamp", "Tags")
    required = ("FunctionName",)
    replaced_by = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp")
    attributes = ("EventSourceMappingArn", "Id")
    refusal = "Invalid request provided: "

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Connect queue and function, and wait until messages flow."""
        params = {name: value for name, value in properties.items() if name not in ("Tags", "KmsKeyArn")}
        if "KmsKeyArn" in properties:
            params["KMSKeyArn"] = properties["KmsKeyArn"]
        made = work.call("lambda", "CreateEventSourceMapping", Tags=work.all_tags(properties), **params)
        work.physical_id = made["UUID"]
        work.attributes = {"Id": made["UUID"], "EventSourceMappingArn": made["EventSourceMappingArn"]}
        yield from self._settled(work)

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Change it; what is no longer given returns to its default."""
        yield from self._settled(work)
        if differ(old, new, self._CHANGEABLE):
            params = {key: new.get(key, self._DEFAULTS.get(key)) for key in self._CHANGEABLE if key in {*old, *new}}
            params = {key: value for key, value in params.items() if value is not None}
            if "KmsKeyArn" in params:
                params["KMSKeyArn"] = params.pop("KmsKeyArn")
            work.call("lambda", "UpdateEventSourceMapping", UUID=work.physical_id, **params)
            yield from self._settled(work)
        retag(work, "lambda", "Resource", work.attributes["EventSourceMappingArn"], old, new)

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete it, and wait until it is gone."""
        yield from self._settled(work)
        work.call("lambda", "DeleteEventSourceMapping", UUID=work.physical_id)
        while any(mapping.uuid == work.physical_id for mapping in work.space.mappings):
            yield

    @staticmethod
    def _settled(work: Work) -> Steps:
        while any(mapping.passing for mapping in work.space.mappings if mapping.uuid == work.physical_id):
            yield


class Permission(Kind):
    """AWS::Lambda::Permission."""

    properties = replaced_by = ("Action", "FunctionName", "Principal", "SourceAccount", "SourceArn")
    required = ("Action", "FunctionName", "Principal")
    attributes = ("Id",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Add the statement to the function's policy."""
        statement_id = work.new_name(100)
        work.call("lambda", "AddPermission", StatementId=statement_id, **properties)
        work.physical_id = statement_id
        work.attributes = {"Id": statement_id}
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Take the statement out."""
        function = properties["FunctionName"]
        work.call("lambda", "RemovePermission", FunctionName=function, StatementId=work.physical_id)
        yield from ()


class FunctionVersion(Kind):
    """AWS::Lambda::Version."""

    properties = ("CodeSha256", "Description", "FunctionName")
    required = ("FunctionName",)
    replaced_by = properties
    attributes = ("FunctionArn", "Version")

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Publish the function's present state."""
        made = work.call("lambda", "PublishVersion", **properties)
        work.physical_id = made["FunctionArn"]
        work.attributes = {"FunctionArn": made["FunctionArn"], "Version": made["Version"]}
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete the version."""
        number = work.attributes["Version"]
        work.call("lambda", "DeleteFunction", FunctionName=properties["FunctionName"], Qualifier=number)
        yield from ()


class FunctionAlias(Kind):
    """AWS::Lambda::Alias."""

    properties = ("Description", "FunctionName", "FunctionVersion", "Name", "RoutingConfig")
    required = ("FunctionName", "FunctionVersion", "Name")
    replaced_by = ("FunctionName", "Name")
    attributes = ("AliasArn",)

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Make the alias."""
        made = work.call("lambda", "CreateAlias", **self._params(properties))
        work.physical_id = made["AliasArn"]
        work.attributes = {"AliasArn": made["AliasArn"]}
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Point it elsewhere."""
        work.call("lambda", "UpdateAlias", **{"RoutingConfig": {}, **self._params(new)})
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete the alias."""
        work.call("lambda", "DeleteAlias", **only(properties, ("FunctionName", "Name")))
        yield from ()

    @staticmethod
    def _params(properties: Mapping[str, Any]) -> dict[str, Any]:
        params = dict(properties)
        if "RoutingConfig" in params:
            weights = params["RoutingConfig"].get("AdditionalVersionWeights") or []
            shares = {str(one["FunctionVersion"]): float(one["FunctionWeight"]) for one in weights}
            params["RoutingConfig"] = {"AdditionalVersionWeights": shares}
        return params


class EventInvokeConfig(Kind):
    """AWS::Lambda::EventInvokeConfig."""

    properties = ("DestinationConfig", "FunctionName", "MaximumEventAgeInSeconds", "MaximumRetryAttempts", "Qualifier")
    required = ("FunctionName", "Qualifier")
    replaced_by = required

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Set how asynchronous invocations are retried."""
        work.call("lambda", "PutFunctionEventInvokeConfig", **properties)
        work.physical_id = work.physical_id or work.new_name(128)
        yield from ()

    def update(self, work: Work, old: dict[str, Any], new: dict[str, Any]) -> Steps:
        """Set it anew."""
        yield from self.create(work, new)

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Return to the default."""
        work.call("lambda", "DeleteFunctionEventInvokeConfig", **only(properties, self.required))
        yield from ()
