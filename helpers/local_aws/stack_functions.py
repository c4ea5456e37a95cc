"""Functions and what belongs to them, in a stack."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any, ClassVar

from .errors import ApiError
from .stack_kinds import Kind, Steps, Work, differ, missing, only, retag, within


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
    _READ_APART: ClassVar[dict[str, str]] = {
        "RecursiveLoop": "GetFunctionRecursionConfig",
        "ReservedConcurrentExecutions": "GetFunctionConcurrency",
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
    unread = ("Code",)

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

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return its configuration, as far as it is set; of environment variables all."""
        which = {"FunctionName": work.physical_id}
        found = work.call("lambda", "GetFunctionConfiguration", **which)
        shown = within(properties, {**found, "Layers": [one["Arn"] for one in found.get("Layers") or []]})
        if "Environment" in properties:
            shown["Environment"] = {"Variables": found.get("Environment", {}).get("Variables", {})}
        for name, operation in self._READ_APART.items():
            if name in properties:
                shown |= only(work.call("lambda", operation, **which), (name,))
        if "Tags" in properties:
            tags = work.call("lambda", "ListTags", Resource=work.attributes["Arn"]).get("Tags", {})
            shown["Tags"] = work.tags_beyond(tags)
        return dict(shown)

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
    unread = ("KmsKeyArn",)
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

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return its settings, as far as they are set."""
        found = work.call("lambda", "GetEventSourceMapping", UUID=work.physical_id)
        function = str(found["FunctionArn"])
        if not str(properties["FunctionName"]).startswith("arn:"):
            function = function.partition(":function:")[2]
        shown = {**found, "FunctionName": function, "Enabled": found["State"] not in ("Disabled", "Disabling")}
        if "Tags" in properties:
            tags = work.call("lambda", "ListTags", Resource=work.attributes["EventSourceMappingArn"]).get("Tags", {})
            shown["Tags"] = work.tags_beyond(tags)
        return dict(within(properties, shown))

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

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return it as it was made: a statement can be taken out and not changed."""
        policy = json.loads(work.call("lambda", "GetPolicy", FunctionName=properties["FunctionName"])["Policy"])
        if all(one["Sid"] != work.physical_id for one in policy["Statement"]):
            raise missing("The statement")
        return dict(properties)


class FunctionVersion(Kind):
    """AWS::Lambda::Version."""

    properties = ("CodeSha256", "Description", "FunctionName")
    required = ("FunctionName",)
    replaced_by = properties
    attributes = ("FunctionArn", "Version")

    def create(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Publish the function's present state; one that is published already is not taken over."""
        before = set(work.space.functions.get(properties["FunctionName"]).versions)
        made = work.call("lambda", "PublishVersion", **properties)
        if made["Version"] in before:
            text = f"A version for this Lambda function exists ( {made['Version']} ). "
            raise ApiError("AlreadyExists", f"{text}Modify the function to create a new version.", 409)
        work.physical_id = made["FunctionArn"]
        work.attributes = {"FunctionArn": made["FunctionArn"], "Version": made["Version"]}
        yield from ()

    def delete(self, work: Work, properties: dict[str, Any]) -> Steps:
        """Delete the version."""
        number = work.attributes["Version"]
        work.call("lambda", "DeleteFunction", FunctionName=properties["FunctionName"], Qualifier=number)
        yield from ()

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return it as it was published: only that can be gone."""
        which = {"FunctionName": properties["FunctionName"], "Qualifier": work.attributes["Version"]}
        found = work.call("lambda", "GetFunctionConfiguration", **which)
        return {**only(found, properties), "FunctionName": properties["FunctionName"]}


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

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return where it points."""
        which = only(properties, ("FunctionName", "Name"))
        found = work.call("lambda", "GetAlias", **which)
        shares = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        if shares:
            weights = [{"FunctionVersion": number, "FunctionWeight": share} for number, share in shares.items()]
            found = {**found, "RoutingConfig": {"AdditionalVersionWeights": weights}}
        return only({**found, **which}, properties)

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

    def present(self, work: Work, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return its settings."""
        which = only(properties, self.required)
        return only({**work.call("lambda", "GetFunctionEventInvokeConfig", **which), **which}, properties)
