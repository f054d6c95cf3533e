@extends('layouts.page')
@section('title', 'Campaigns')
@section('content')
@include('list')
@endsection
