"""`/api/v1/training/jobs/` and `/api/v1/adapters/`."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api_errors import Conflict, NotEnoughLeft, Unacceptable
from training import kept_checkpoints, selectors, services, telling
from training.api.asked import asked_of, find_adapter, find_base_model, find_version
from training.api.curves import CurveActions
from training.api.logs import LogActions
from training.api.serializers import (
    AdapterSerializer,
    CheckpointSerializer,
    JobCreateSerializer,
    JobEventSerializer,
    JobPatchSerializer,
    JobSerializer,
    MetricSerializer,
    SampleSerializer,
)
from training.checkpoint_files import CheckpointUnusable
from training.engine.methods import METHODS
from training.metrics.store import StoredSteps
from training.models import Adapter, Checkpoint, JobEvent, Sample, TrainingJob
from training.views.jobs import adapter_response


class JobViewSet(
    CurveActions,
    LogActions,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet,
):
    """The caller's trainings, newest first."""

    serializer_class = JobSerializer
    queryset = TrainingJob.objects.none()
    filterset_fields = ["status", "name", "queue", "dataset_version"]
    ordering_fields = ["created_at", "name", "status"]

    def get_queryset(self):
        return selectors.jobs_for_list(self.request.user)

    def get_object(self):
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    @extend_schema(request=JobCreateSerializer, responses={201: JobSerializer})
    def create(self, request):
        """Starts a training: queues it for a worker and answers at once."""
        form = JobCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        version = find_version(request.user, asked)
        base_model = find_base_model(asked["base_model"])
        try:
            estimate = estimate_of(request.user, asked)
            job = services.start_job(
                owner=request.user,
                name=asked["name"],
                dataset_version=version,
                base_model=base_model,
                method=asked["method"],
                start_adapter=find_adapter(request.user, asked.get("start_adapter")),
                config=asked.get("config"),
                device_count=asked["device_count"],
                priority=asked["priority"],
                wanted_queue=asked.get("wanted_queue", ""),
                estimate=estimate,
                memory_bytes=_asked_memory(asked, estimate),
            )
        except services.NotEnoughLeft as problem:
            raise NotEnoughLeft(str(problem)) from problem
        except services.StartRefused as problem:
            raise Unacceptable(str(problem), field=problem.field) from problem
        return Response(JobSerializer(job).data, status=status.HTTP_201_CREATED)

    def retrieve(self, request, *args, **kwargs):
        """One training: where it is, how far it has come, and what it learned."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(request=JobPatchSerializer, responses={200: JobSerializer})
    def partial_update(self, request, pk=None):
        """Changes how patiently a training waits that has not ended."""
        job = self.get_object()
        form = JobPatchSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            services.change_priority(job=job, priority=form.validated_data["priority"], by=request.user)
        except services.StartRefused as problem:
            raise Unacceptable(str(problem), field=problem.field) from problem
        return Response(JobSerializer(self.get_object()).data)

    def destroy(self, request, *args, **kwargs):
        """Deletes a training that has ended, with what it learned. 409 while it waits or runs."""
        return super().destroy(request, *args, **kwargs)

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request, pk=None):
        """Stops a job that waits or runs. One that has ended stays as it is: 409."""
        job = self.get_object()
        if not services.cancel_job(job=job):
            job.refresh_from_db()
            raise Conflict(f"{job.name} has already ended: {job.status}.")
        return Response(JobSerializer(self.get_object()).data)

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"])
    def pause(self, request, pk=None):
        """Lets a job rest that waits or runs; one that runs is `pausing` until its state is saved. Else 409."""
        job = self.get_object()
        if not services.pause_job(job=job):
            raise Conflict(f"{job.name} does not wait or run: {self.get_object().status}.")
        return Response(JobSerializer(self.get_object()).data)

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"])
    def resume(self, request, pk=None):
        """Lets a paused job go on: it waits for its turn again. 409 for any other."""
        job = self.get_object()
        if not services.resume_job(job=job):
            raise Conflict(f"{job.name} is not paused: {self.get_object().status}.")
        return Response(JobSerializer(self.get_object()).data)

    @extend_schema(request=None, responses={201: JobSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request, pk=None):
        """A new job with the same settings as one that failed, crashed or was cancelled."""
        try:
            job = services.retry_job(job=self.get_object())
        except services.NotEnoughLeft as problem:
            raise NotEnoughLeft(str(problem)) from problem
        except services.StartRefused as problem:
            raise Conflict(str(problem)) from problem
        return Response(JobSerializer(job).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=JobEventSerializer(many=True))
    @action(detail=True, queryset=JobEvent.objects.none(), filterset_fields=[], ordering_fields=["id"])
    def events(self, request, pk=None):
        """What happened to it, in order."""
        return self.paged(JobEvent.objects.filter(job=self.get_object()).order_by("id"), JobEventSerializer)

    @extend_schema(responses=MetricSerializer(many=True))
    @action(detail=True, queryset=TrainingJob.objects.none(), filterset_fields=[], ordering_fields=["step"])
    def metrics(self, request, pk=None):
        """One row a step; `eval_loss` is null at steps without a check. Step 0 is the base model."""
        return self.paged(StoredSteps(self.get_object()), MetricSerializer)

    @extend_schema(responses=CheckpointSerializer(many=True))
    @action(detail=True, queryset=Checkpoint.objects.none(), filterset_fields=[], ordering_fields=["step"])
    def checkpoints(self, request, pk=None):
        """What is there to go on from, to try and to keep; latest first. Older ones make way for newer ones."""
        job = self.get_object()
        kept = {adapter.step: str(adapter.pk) for adapter in job.adapters.all()}
        return self.paged(
            Checkpoint.objects.filter(job=job).order_by("-step"), CheckpointSerializer, kept=kept
        )

    @extend_schema(
        request=None,
        responses={201: AdapterSerializer},
        parameters=[OpenApiParameter("step", int, OpenApiParameter.PATH)],
    )
    @action(detail=True, methods=["post"], url_path=r"checkpoints/(?P<step>[0-9]{1,9})/keep")
    def keep(self, request, pk=None, step=None):
        """Makes a checkpoint an adapter that answers and is downloaded like any other; asked twice, still one.

        409 if there is no such checkpoint any more.
        """
        try:
            adapter = kept_checkpoints.keep_checkpoint(job=self.get_object(), step=int(step))
        except CheckpointUnusable as problem:
            raise Conflict(str(problem)) from problem
        return Response(AdapterSerializer(adapter).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=SampleSerializer(many=True))
    @action(detail=True, queryset=Sample.objects.none(), filterset_fields=[], ordering_fields=["step"])
    def samples(self, request, pk=None):
        """What it answered to held-out questions at each check; `position` tells the questions apart."""
        return self.paged(
            Sample.objects.filter(job=self.get_object()).order_by("step", "position"), SampleSerializer
        )

    def paged(self, rows, serializer_class, **context):
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(serializer_class(page, many=True, context=context).data)

    def perform_destroy(self, job):
        try:
            services.delete_job(job=job)
        except services.DeleteRefused as problem:
            raise Conflict(str(problem)) from problem


def _asked_memory(asked: dict, estimate: dict) -> int | None:
    """What each device must have, in bytes: as asked for, else as reckoned."""
    return round(asked["memory_gb"] * 1e9) if "memory_gb" in asked else estimate.get("asks_bytes")


def estimate_of(user, asked: dict) -> dict:
    """What is kept with the job; nothing for a drill, which nobody can estimate. Raises `StartRefused`."""
    services.refuse_unknown_method(asked["method"])
    return telling.told(asked_of(user, asked)) if METHODS[asked["method"]].is_offered else {}


class AdapterViewSet(mixins.DestroyModelMixin, viewsets.ReadOnlyModelViewSet):
    """What the caller's trainings learned. `step`: kept from that checkpoint; null: what a job left at its end."""

    serializer_class = AdapterSerializer
    queryset = Adapter.objects.none()
    filterset_fields = ["name", "model_id", "dataset_version", "job"]
    ordering_fields = ["created_at", "name"]

    def get_queryset(self):
        return selectors.adapters_for_list(self.request.user)

    def get_object(self):
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    def destroy(self, request, *args, **kwargs):
        """Deletes a kept checkpoint. 409 for what a job left at its end, which goes with its job."""
        return super().destroy(request, *args, **kwargs)

    def perform_destroy(self, adapter):
        try:
            kept_checkpoints.delete_adapter(adapter=adapter)
        except services.DeleteRefused as problem:
            raise Conflict(str(problem)) from problem

    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    @action(detail=True)
    def download(self, request, pk=None):
        """The PEFT directory as a zip: weights in safetensors, config, tokenizer, model card."""
        return adapter_response(self.get_object())
